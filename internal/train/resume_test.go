package train

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"concord/internal/train/traintest"
)

// A run interrupted after every one of its steps, and once before the first,
// ends in the same bits as the run that was not: model, moments, metrics.
func TestResumeEqualsUninterrupted(t *testing.T) {
	traintest.RequireAdapter(t)
	for _, c := range []struct {
		method, scope string
		accumulate    int
	}{
		{"mean", "layer", 1}, {"pcgrad", "layer", 1}, {"cagrad", "tensor", 2}, {"pcgrad", "global", 2},
	} {
		t.Run(fmt.Sprintf("%s-%s-%d", c.method, c.scope, c.accumulate), func(t *testing.T) {
			overrides := []string{"objective.method=" + c.method, "objective.scope=" + c.scope, fmt.Sprintf("batch.accumulate=%d", c.accumulate), "batch.rows=3", "schedule.steps=4", "eval.every=2", "optim.lr=0.05", "schedule.warmup=0"}
			want := uninterrupted(t, overrides...)
			got := interruptedAtEveryStep(t, 4, overrides...)
			if d := want.differ(got); d != "" {
				t.Error(d)
			}
		})
	}
}

func uninterrupted(t *testing.T, overrides ...string) outcome {
	t.Helper()
	cfg := tiny(t, overrides...)
	if _, err := Run(context.Background(), cfg, UI{Out: &strings.Builder{}}); err != nil {
		t.Fatal(err)
	}
	return outcomeOf(t, cfg.OutDir())
}

func interruptedAtEveryStep(t *testing.T, n int, overrides ...string) outcome {
	t.Helper()
	cfg := tiny(t, overrides...)
	dir := cfg.OutDir()
	out, err := until("method", func(ctx context.Context, ui UI) error { _, err := Run(ctx, cfg, ui); return err })
	for k := 1; ; k++ {
		if err == nil {
			t.Fatalf("not interrupted before step %d:\n%s", k, out)
		}
		if !errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "concord resume "+dir) {
			t.Fatalf("interruption says %v", err)
		}
		text := fmt.Sprintf("step %d/", k)
		if k > n {
			text = ""
		}
		out, err = until(text, func(ctx context.Context, ui UI) error { _, err := Resume(ctx, dir, nil, ui); return err })
		if k > n {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return outcomeOf(t, dir)
}
