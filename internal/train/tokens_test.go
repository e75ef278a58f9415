package train

import (
	"context"
	"io"
	"testing"

	"concord/internal/report"
)

// Padding is not a token: not in a step's record, not in the run's sums, not in a
// budget of tokens; and those with a loss are told apart, over a resume too.
func TestPaddingIsNoToken(t *testing.T) {
	cfg := tiny(t, "batch.seq_len=24", "schedule.steps=0", "schedule.tokens=500", "eval.every=0")
	plan, err := Check(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var steps []report.Step
	watch := func(record any) {
		if s, ok := record.(report.Step); ok {
			steps = append(steps, s)
		}
	}
	sum, err := Run(context.Background(), cfg, UI{Out: io.Discard, Watch: watch})
	if err != nil {
		t.Fatal(err)
	}
	read, learnt := 0, 0
	for _, s := range steps {
		read += s.Tokens
		for _, n := range s.TokensByLang {
			learnt += n
		}
		if s.Positions != 6*24 || s.Tokens >= s.Positions {
			t.Errorf("step %d: %d tokens of %d positions", s.Step, s.Tokens, s.Positions)
		}
	}
	if last := steps[len(steps)-1]; sum.End.Tokens != int64(read) || sum.End.Supervised != int64(learnt) ||
		last.TotalTokens != int64(read) || last.TotalSupervised != int64(learnt) {
		t.Errorf("%d tokens read, %d learnt; told %+v", read, learnt, sum.End)
	}
	if per := read / len(steps); len(steps) != plan.Steps || read < 500-per/4 || read > 500+per+per/4 {
		t.Errorf("asked for 500 tokens, got %d in %d steps (planned %d)", read, len(steps), plan.Steps)
	}
}
