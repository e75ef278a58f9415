package train

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/config"
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/objective"
	"concord/internal/train/traintest"
	"concord/moo"
)

// gradientOf is a parameter's gradient after one step of a fresh trainer.
func gradientsOf(t *testing.T, cfg *config.Config, n int) map[string][]float32 {
	t.Helper()
	tr := open(t, cfg)
	defer tr.Close()
	steps(t, tr, n)
	out := map[string][]float32{}
	for _, p := range device.Params(tr.Arch) {
		v, err := tr.Store.Read(bucket.Gradient, p.Name)
		if err != nil {
			t.Fatal(err)
		}
		out[p.Name] = v
	}
	return out
}

func sameGradients(t *testing.T, what string, got, want map[string][]float32, which func(name string) bool) {
	t.Helper()
	n := 0
	for name, g := range got {
		if which(name) {
			n++
			if e := traintest.NMSE(g, want[name]); e > 1e-10 {
				t.Errorf("%s: %s: NMSE %.3g", what, name, e)
			}
		}
	}
	if n == 0 {
		t.Errorf("%s: no parameter compared", what)
	}
}

func all(string) bool { return true }

// An override resolves its parameters by its own method, and the rest as before;
// where its weights are known before, it keeps no rows.
func TestOverride(t *testing.T) {
	cfg := withMethod(t, tiny(t), "pcgrad")
	over := *cfg
	over.Objective.Override = []config.Override{{Match: "*embed*", Method: "mean"}, {Match: "*norm*", Method: "mgda"}}
	got := gradientsOf(t, &over, 1)
	embed := func(name string) bool { return strings.Contains(name, "embed") }
	norm := func(name string) bool { return strings.Contains(name, "norm") }
	sameGradients(t, "embedding", got, gradientsOf(t, withMethod(t, cfg, "mean"), 1), embed)
	plain := *cfg
	plain.Objective.Scope, over.Objective.Scope = config.ScopeTensor, config.ScopeTensor // so that what is resolved together is the same
	got = gradientsOf(t, &over, 1)
	sameGradients(t, "norms", got, gradientsOf(t, withMethod(t, &plain, "mgda"), 1), norm)
	// pcgrad's order is drawn by unit, and the units are the same ones in the same order
	sameGradients(t, "the rest", got, gradientsOf(t, &plain, 1), func(name string) bool { return !embed(name) && !norm(name) })
	tr := open(t, &over)
	defer tr.Close()
	steps(t, tr, 1)
	if rows := tr.Memory().Roles[gpu.RoleRows].Peak; rows != 0 { // the others' lie in lent memory
		t.Errorf("%d bytes of rows", rows)
	}
}

// The first steps of a warm-up are mean's; then the method begins.
func TestWarmup(t *testing.T) {
	cfg := withMethod(t, tiny(t), "mgda")
	warm := *cfg
	warm.Objective.Warmup = 2
	sameGradients(t, "warm-up", gradientsOf(t, &warm, 2), gradientsOf(t, withMethod(t, cfg, "mean"), 2), all)
	tr := open(t, &warm)
	steps(t, tr, 2)
	r, err := tr.Step(t.Context())
	if err != nil || r.Pairs == 0 {
		t.Errorf("after the warm-up: %d pairs, %v", r.Pairs, err)
	}
}

// With every = 3 a unit's weights are solved in the first of three steps.
func TestEvery(t *testing.T) {
	c := *withMethod(t, tiny(t), "mgda")
	c.Objective.Every = 3
	tr := open(t, &c)
	var weights [][]float64
	for range 6 {
		r, err := tr.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		weights = append(weights, r.Buckets[0].Weights)
		if solved := r.Pairs > 0; solved != (len(weights)%3 == 1) {
			t.Errorf("step %d: solved %v", len(weights), solved)
		}
	}
	if !slices.Equal(weights[0], weights[1]) || !slices.Equal(weights[1], weights[2]) || slices.Equal(weights[2], weights[3]) {
		t.Errorf("weights %v", weights)
	}
}

// The ghost Gram gives the rows' gradients to float32 rounding, with less memory
// for rows, a language without tokens or not.
func TestGhostEqualsRows(t *testing.T) {
	for _, method := range []string{"mgda", "pcgrad", "upgrad", "config"} {
		for _, rows := range []int{2, 6} {
			rowsCfg := *withMethod(t, tiny(t), method)
			rowsCfg.Batch.Rows, rowsCfg.Objective.Gram = rows, "rows"
			ghostCfg := rowsCfg
			ghostCfg.Objective.Gram = "ghost"
			want, got := gradientsOf(t, &rowsCfg, 1), gradientsOf(t, &ghostCfg, 1)
			for name := range want {
				if e := traintest.NMSE(got[name], want[name]); e > 1e-7 {
					t.Errorf("%s, %d rows: %s: NMSE %.3g", method, rows, name, e)
				}
			}
		}
	}
}

// Half-batches measure noise and change nothing else; taking it out of the
// diagonal changes what a method that looks at lengths does.
func TestNoise(t *testing.T) {
	cfg := withMethod(t, tiny(t, "batch.rows=8"), "mgda")
	halves := *cfg
	halves.Objective.Noise.Halves = true
	want := gradientsOf(t, cfg, 2)
	sameGradients(t, "halves", gradientsOf(t, &halves, 2), want, all)
	debiased := halves
	debiased.Objective.Noise.Debias = true
	got, other := gradientsOf(t, &debiased, 1), 0
	for name, v := range gradientsOf(t, cfg, 1) {
		if traintest.NMSE(got[name], v) > 1e-6 {
			other++
		}
	}
	if other == 0 {
		t.Error("debiasing changed nothing")
	}
	tr := open(t, &debiased)
	steps(t, tr, 2)
	g, ok := tr.Grams()
	if m := len(traintest.Langs); !ok || len(g.Buckets[0].SelfCosine) != m || len(g.Buckets[0].Contrast) != m*m {
		t.Fatalf("snapshot %+v", g)
	}
	for _, u := range tr.Objective.Snapshot().Groups {
		for _, s := range u.Signal {
			if s > 1+1e-6 {
				t.Errorf("signal %v of the squared norm", s)
			}
		}
	}
}

// A probe changes no bit of the run, and for a small step its prediction is what
// happens.
func TestProbe(t *testing.T) {
	cfg := withMethod(t, tiny(t, "batch.rows=6", "optim.lr=1e-4", "schedule.warmup=0"), "pcgrad")
	plain, probed := open(t, cfg), open(t, cfg)
	steps(t, plain, 4)
	for range 4 {
		s, p, err := probed.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Step != p.Step || len(p.Predicted) == 0 || p.Phases["backward"] <= 0 {
			t.Fatalf("step %d, probe %+v", s.Step, p)
		}
		for lang, x := range p.Predicted {
			if d := math.Abs(float64(x - p.Realised[lang])); d > 2e-5+0.05*math.Abs(float64(x)) {
				t.Errorf("step %d, %s: predicted %v, realised %v", s.Step, lang, x, p.Realised[lang])
			}
		}
	}
	if a, b := values(t, plain, bucket.Weight), values(t, probed, bucket.Weight); !slices.Equal(a, b) {
		t.Error("the probed run has other weights")
	}
}

// Methods that need no gradients keep no rows, take mean's memory, and move
// their weights.
func TestLossMethods(t *testing.T) {
	cfg := tiny(t)
	peak := func(method string) int64 {
		tr := open(t, withMethod(t, cfg, method))
		defer tr.Close()
		steps(t, tr, 2)
		return tr.Memory().Peak
	}
	mean := peak("mean")
	for _, info := range moo.Methods() {
		if info.Needs != moo.NeedsNothing && info.Needs != moo.NeedsLosses || info.Name == "static" {
			continue
		}
		if got := peak(info.Name); got > mean { // famo's forward passes need less than a step's
			t.Errorf("%s takes %d bytes, mean %d", info.Name, got, mean)
		}
	}
	for _, method := range []string{"famo", "gls", "rlw"} {
		got, want := gradientsOf(t, withMethod(t, cfg, method), 3), gradientsOf(t, withMethod(t, cfg, "mean"), 3)
		for name := range want {
			if traintest.NMSE(got[name], want[name]) < 1e-8 {
				t.Errorf("%s: the gradient of %s is mean's", method, name)
			}
		}
	}
}

// Preferences under mean are static weights.
func TestPreferences(t *testing.T) {
	cfg := tiny(t)
	mean, static := *withMethod(t, cfg, "mean"), *withMethod(t, cfg, "static")
	mean.Objective.Preferences = map[string]float64{"bb": 3}
	static.Objective.Weights = map[string]float64{"aa": 1, "bb": 3, "cc": 1}
	sameGradients(t, "preferences", gradientsOf(t, &mean, 2), gradientsOf(t, &static, 2), all)
}

// TestFAMOMeasuresItsBatch: its losses are those of the step's batch around the update,
// and what it measures changes nothing else.
func TestFAMOMeasuresItsBatch(t *testing.T) {
	tr := open(t, withMethod(t, tiny(t, "batch.accumulate=2"), "famo"))
	defer tr.Close()
	for step := range 3 {
		r, err := tr.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s := tr.Objective.Snapshot()
		after, err := tr.Losses(tr.Whole(tr.Sampler.Batch(step)))
		if err != nil {
			t.Fatal(err)
		}
		for m, lang := range tr.Langs {
			if l, ok := r.LossByLang[lang]; ok && (s.Before[m] != l || float64(s.After[m]) != after[m] || s.After[m] == s.Before[m]) {
				t.Errorf("step %d, %s: %v before and %v after; the step's loss is %v, and %v after", step+1, lang, s.Before[m], s.After[m], l, after[m])
			}
		}
		sum := 0.0
		for _, w := range r.Weights {
			sum += w
		}
		if len(r.Weights) != len(tr.Langs) || math.Abs(sum-1) > 1e-9 || slices.Min(r.Weights) == slices.Max(r.Weights) {
			t.Errorf("step %d: the record has weights %v", step+1, r.Weights)
		}
	}
	cfg := objectiveOptions(withMethod(t, tiny(t), "famo"), traintest.Langs, []float64{1, 1, 1})
	cfg.Shared = true
	if _, err := objective.New(cfg); err == nil || !strings.Contains(errorAndFix(err), `method = "famo-lagged"`) {
		t.Errorf("on many machines: %v", err)
	}
}

// errorAndFix is an error with the line that fixes it.
func errorAndFix(err error) string {
	s := (*fault.Setting)(nil)
	if errors.As(err, &s) {
		return s.Msg + "\n" + s.Fix
	}
	return err.Error()
}

// Settings that do not go together are refused where they stand.
func TestObjectiveRefuses(t *testing.T) {
	cfg := tiny(t)
	for name, change := range map[string]func(*config.Objective){
		"no Gram to measure noise": func(o *config.Objective) { o.Method, o.Noise.Halves = "mean", true },
		"computes no Gram":         func(o *config.Objective) { o.Method, o.Metric = "famo", "adam" },
		`project = ""`:             func(o *config.Objective) { o.Method, o.Project = "famo", config.ProjectDualCone },
		"single values":            func(o *config.Objective) { o.Method, o.Gram = "graddrop", "ghost" },
		"no weights to normalise":  func(o *config.Objective) { o.Method, o.EMA = "graddrop", 0.5 },
		"named twice": func(o *config.Objective) {
			o.Override = []config.Override{{Match: "*", Method: "mean"}, {Match: "*", Method: "mgda"}}
		},
		"unknown method": func(o *config.Objective) { o.Override = []config.Override{{Match: "*", Method: "mgad"}} },
	} {
		c := *withMethod(t, cfg, "pcgrad")
		change(&c.Objective)
		if _, err := objective.New(objectiveOptions(&c, traintest.Langs, []float64{1, 1, 1})); err == nil ||
			!strings.Contains(errorAndFix(err), name) {
			t.Errorf("error %v, want %q", err, name)
		}
	}
	c := *withMethod(t, cfg, "pcgrad")
	c.Objective.Override = []config.Override{{Match: "*lora*", Method: "mean"}}
	if _, err := Check(&c); err == nil || !strings.Contains(err.Error(), "fits none of the model's parameters, such as "+
		"model.embed_tokens.weight") {
		t.Errorf("an override of nothing: %v", err)
	}
}
