package train

import (
	"slices"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/train/traintest"
)

// The Gram of embedding and head from inner products between tokens, or where these are many from
// rows in turn, and their gradient made in pieces, give the weights of rows: tied and untied, in
// every scope, in halves, with soft caps and learned positions, where the gradient is applied in the
// backward pass and where some steps have known weights. Twice the same bits.
func TestGradientsByTokens(t *testing.T) {
	traintest.RequireAdapter(t)
	settings := map[string][]string{
		"layer":    nil,
		"tensor":   {"objective.scope=tensor", "objective.in_flight=3"},
		"global":   {"objective.scope=global"},
		"halves":   {"objective.noise.halves=true", "objective.noise.debias=true", "batch.rows=4"},
		"every":    {"objective.every=2", "objective.warmup=1"},
		"applied":  {"optim.in_backward=true", "optim.clip=0", "batch.logits_chunk=16"},
		"factored": {"optim.in_backward=true", "optim.name=adafactor"},
		"static":   {"optim.in_backward=true", "objective.every=2", "objective.warmup=1", "model.dtype=bf16", "optim.moments=int8"},
	}
	eachTable(t, settings, func(t *testing.T, name, file string, overrides []string) {
		t.Run("few", func(t *testing.T) {
			checkByTokens(t, name, file, append([]string{"batch.seq_len=6"}, overrides...), false)
		})
		t.Run("many", func(t *testing.T) {
			checkByTokens(t, name, file, overrides, true)
		})
	})
}

// checkByTokens compares the weights with those of rows.
func checkByTokens(t *testing.T, name, file string, overrides []string, many bool) {
	run := func(gram string) (weights []float32) {
		all := append([]string{"batch.rows=3", "objective.gram=" + gram, "schedule.warmup=0", "optim.lr=0.001"}, overrides...)
		tr := open(t, load(t, file, all...))
		opt := tr.ResolverOptions()
		by := picked(tr, opt.ByTokens)
		if len(by) != tables(tr) && gram == "ghost" || by != nil && gram != "ghost" {
			t.Fatalf("gram = %q: by tokens %v", gram, by)
		}
		turn := picked(tr, func(p bucket.Param) bool { return slices.Contains(by, p.Name) && opt.InTurn(p) })
		if many && len(turn) != len(by) || !many && turn != nil {
			t.Fatalf("%d tokens: rows of %v take turns", opt.Tokens, turn)
		}
		steps(t, tr, 3)
		return values(t, tr, bucket.Weight)
	}
	want, got := run("rows"), run("ghost")
	most := 1e-8
	if name == "static" { // bf16 is rounded up or down by chance
		most = 1e-5
	}
	if e := traintest.NMSE(got, want); !(e <= most) {
		t.Errorf("the weights differ: NMSE %.3g", e)
	}
	if (name == "layer" || name == "factored") && !slices.Equal(got, run("ghost")) {
		t.Error("the same run twice gave other bits")
	}
}

// Products between more tokens than one binding holds are not made: rows take turns.
func TestTokensLargerThanABinding(t *testing.T) {
	traintest.RequireAdapter(t)
	wider := strings.NewReplacer(`"vocab_size": 258`, `"vocab_size": 512`, `"hidden_size": 32`, `"hidden_size": 128`)
	file := traintest.FamilyRun(t, wider.Replace(wideConfig), nil)
	cfg := load(t, file, "objective.method=pcgrad", "objective.gram=ghost", "batch.rows=6", "batch.logits_chunk=16")
	for limit, want := range map[int64]bool{0: false, 34_000: true} { // 96² products take 36.9 kB, a chunk of logits 32.8
		tr := openLimited(t, cfg, limit)
		opt := tr.ResolverOptions()
		by, turn := picked(tr, opt.ByTokens), picked(tr, func(p bucket.Param) bool { return opt.ByTokens(p) && opt.InTurn(p) })
		if len(by) != 1 || len(turn) == 1 != want {
			t.Errorf("bindings of %d bytes: by tokens %v, in turn %v", limit, by, turn)
		}
	}
}
