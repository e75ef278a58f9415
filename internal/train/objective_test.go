package train

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/config"
	"concord/internal/objective"
	"concord/internal/train/traintest"
	"concord/moo"
)

// methods is every method that there is.
func methods() []string {
	var out []string
	for _, m := range moo.Methods() {
		out = append(out, m.Name)
	}
	return out
}

// sharedMethods is every method that machines share: famo measures whole batches, and is
// refused by many machines (TestFAMOMeasuresItsBatch).
func sharedMethods() []string {
	return slices.DeleteFunc(methods(), func(name string) bool {
		info, _ := moo.Lookup(name)
		return info.SameBatch
	})
}

// sameExamples makes every language's training data the same single row: three
// examples of different lengths that fill 15 of 16 positions.
func sameExamples(t testing.TB, cfg *config.Config) {
	t.Helper()
	text := `{"prompt": "ab:", "completion": " xy"}
{"prompt": "b:", "completion": "zw"}
`
	for _, lang := range traintest.Langs {
		traintest.WriteFile(t, cfg.Resolve(lang+".jsonl"), text)
	}
}

// withMethod sets a method, static with equal weights.
func withMethod(t testing.TB, cfg *config.Config, method string) *config.Config {
	t.Helper()
	c := *cfg
	c.Objective.Method = config.Method(method)
	if method == "static" {
		c.Objective.Weights = map[string]float64{"aa": 2, "bb": 2, "cc": 2}
	}
	return &c
}

// Languages with the same rows must train, under every method, as one language
// with one such row does.
func TestIdenticalLanguagesArePlainTraining(t *testing.T) {
	cfg := tiny(t, "batch.rows=3", "schedule.warmup=0")
	sameExamples(t, cfg)
	one := *withMethod(t, cfg, "mean")
	one.Data.Source, one.Batch.Rows = cfg.Data.Source[:1], 1
	plain := open(t, &one)
	steps(t, plain, 1)
	gradient := values(t, plain, bucket.Gradient)
	steps(t, plain, 2)
	weights := values(t, plain, bucket.Weight)
	for _, method := range methods() {
		tr := open(t, withMethod(t, cfg, method))
		steps(t, tr, 1)
		if e := traintest.NMSE(values(t, tr, bucket.Gradient), gradient); e > 1e-10 {
			t.Errorf("%s: gradient NMSE %.3g", method, e)
		}
		steps(t, tr, 2)
		if e := traintest.NMSE(values(t, tr, bucket.Weight), weights); e > 1e-8 {
			t.Errorf("%s: weights after 3 steps NMSE %.3g", method, e)
		}
		tr.Close()
	}
}

// One bucket of everything is scope = "global"; the mean does not depend on the
// scope at all.
func TestScopes(t *testing.T) {
	cfg := tiny(t)
	gradient := func(method string, scope config.Scope) []float32 {
		c := *withMethod(t, cfg, method)
		c.Objective.Scope = scope
		tr := open(t, &c)
		defer tr.Close()
		steps(t, tr, 2)
		return values(t, tr, bucket.Gradient)
	}
	for _, method := range []string{"pcgrad", "cagrad"} {
		if e := traintest.NMSE(gradient(method, 1000), gradient(method, config.ScopeGlobal)); e > 1e-10 {
			t.Errorf("%s: one bucket against global: NMSE %.3g", method, e)
		}
	}
	want := gradient("mean", config.ScopeLayer)
	for _, scope := range []config.Scope{config.ScopeTensor, config.ScopeGlobal} {
		if e := traintest.NMSE(gradient("mean", scope), want); e > 1e-10 {
			t.Errorf("mean with scope %s differs: NMSE %.3g", scope, e)
		}
	}
}

// A step's gradient does not depend on how its rows are cut into micro-batches.
func TestAccumulate(t *testing.T) {
	cfg := tiny(t)
	for _, method := range []string{"mean", "cagrad"} {
		var want []float32
		for _, micro := range []int{1, 2, 3} {
			c := *withMethod(t, cfg, method)
			c.Batch.Rows, c.Batch.Accumulate = 6/micro, micro
			tr := open(t, &c)
			steps(t, tr, 1)
			g := values(t, tr, bucket.Gradient)
			tr.Close()
			if want == nil {
				want = g
			}
			if e := traintest.NMSE(g, want); e > 1e-10 {
				t.Errorf("%s in %d micro-batches: gradient NMSE %.3g", method, micro, e)
			}
		}
	}
}

func TestDeterminism(t *testing.T) {
	cfg := tiny(t)
	run := func(seed uint64) ([]float64, []float32) {
		c := *cfg
		c.Run.Seed = seed
		tr := open(t, &c)
		defer tr.Close()
		return steps(t, tr, 3), values(t, tr, bucket.Weight)
	}
	loss, weights := run(3)
	again, weights2 := run(3)
	if !slices.Equal(loss, again) || !slices.Equal(weights, weights2) {
		t.Errorf("the same seed gave losses %v and %v", loss, again)
	}
	if _, other := run(4); slices.Equal(weights, other) {
		t.Error("another seed gave the same weights")
	}
}

// In memory of their own, pcgrad's rows are those of the largest buckets in
// flight, and M gradients with scope global. In lent memory, what is left is
// what the backward pass writes first. Everything is given back.
func TestMemory(t *testing.T) {
	cfg := tiny(t, "objective.in_flight=1", "objective.gram=rows") // else the tied embedding's rows come late: TestPriceOfLanguages
	peak := func(method string, scope config.Scope, open func(*config.Config, io.Writer) (*Trainer, error)) (gpu.Memory, bucket.Layout) {
		c := *withMethod(t, cfg, method)
		c.Objective.Scope = scope
		tr, err := open(&c, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.Close()
		steps(t, tr, 2)
		m := tr.Memory()
		if held := m.Roles[gpu.RoleRows].Peak; m.Peak < held || m.Peak > m.Budget {
			t.Errorf("%s, %s: peak %d, rows %d, budget %d", method, scope, m.Peak, held, m.Budget)
		}
		layout := tr.Store.Layout
		tr.Release()
		if err := tr.Device().Sync(); err != nil {
			t.Fatal(err)
		}
		for role, r := range tr.Memory().Roles {
			pooled := role == gpu.RoleStaging || role == gpu.RoleScratch && r.Current == 256 // the device's and the engine's own
			if r.Current != 0 && !pooled {
				t.Errorf("%s, %s: %d bytes of %s were not released", method, scope, r.Current, role)
			}
		}
		return m, layout
	}
	mean, layout := peak("mean", config.ScopeLayer, Open)
	if n := mean.Roles[gpu.RoleRows].Peak; n != 0 {
		t.Errorf("mean keeps %d bytes of rows", n)
	}
	langs, largest, held, all := int64(len(traintest.Langs)), 0, 0, 0
	for _, b := range layout.Buckets {
		if all += b.Size; b.Name == "model.embed_tokens.weight" { // tied: open over the whole backward pass
			held += b.Size
		} else {
			largest = max(largest, b.Size)
		}
	}
	layer, _ := peak("pcgrad", config.ScopeLayer, OpenOwnRows)
	if got, want := layer.Roles[gpu.RoleRows].Peak, 4*langs*int64(largest+held); got != want {
		t.Errorf("layer: %d bytes of rows, want those of the buckets in flight: %d", got, want)
	}
	const scratch = 64 << 10 // Gram sums, segments, indices
	if extra := layer.Peak - mean.Peak; extra > 4*langs*int64(largest+held)+scratch {
		t.Errorf("layer: %d bytes more than the mean", extra)
	}
	global, _ := peak("pcgrad", config.ScopeGlobal, OpenOwnRows)
	if got, want := global.Roles[gpu.RoleRows].Peak, 4*langs*int64(all); got != want {
		t.Errorf("global: %d bytes of rows, want M gradients: %d", got, want)
	}
	for _, scope := range []config.Scope{config.ScopeLayer, config.ScopeGlobal} {
		lent, _ := peak("pcgrad", scope, Open)
		if got, least := lent.Roles[gpu.RoleRows].Peak, 4*langs*int64(held); got < least || got >= layer.Roles[gpu.RoleRows].Peak {
			t.Errorf("%s: %d bytes of rows besides lent memory, want from %d on and less than %d", scope, got, least, layer.Roles[gpu.RoleRows].Peak)
		}
	}
}

// contradiction gives two languages the same prompts with different answers.
func contradiction(t *testing.T, overrides ...string) *config.Config {
	t.Helper()
	cfg := tiny(t, append([]string{"batch.rows=4", "schedule.steps=40", "schedule.kind=constant", "schedule.warmup=0",
		"optim.lr=0.03"}, overrides...)...)
	for i, lang := range traintest.Langs[:2] {
		text := strings.Repeat(fmt.Sprintf("{\"prompt\": \"ab:\", \"completion\": \"%c\"}\n{\"prompt\": \"cd:\", "+
			"\"completion\": \"%c\"}\n", 'x'+i, 'p'+i), 4)
		traintest.WriteFile(t, cfg.Resolve(lang+".jsonl"), text)
	}
	cfg.Data.Source = cfg.Data.Source[:2]
	return cfg
}

// watched notes by how much a solution harms a language, relative to the
// gradients' size.
type watched struct {
	*objective.Objective
	harmed *float64
}

func (w watched) Solve(p bucket.Problem) (bucket.Solution, error) {
	s, err := w.Objective.Solve(p)
	if err == nil {
		for i := range s.Weights {
			along := p.G.At(i, 0)*s.Weights[0] + p.G.At(i, 1)*s.Weights[1] // ⟨gᵢ, d⟩
			*w.harmed = max(*w.harmed, -along/mat.Trace(p.G))
		}
	}
	return s, err
}

// When all that the languages have in common is learnt, what is left is
// conflict: the report must say so, and upgrad must not follow a direction that
// harms a language.
func TestConflict(t *testing.T) {
	for _, method := range []string{"pcgrad", "mgda", "upgrad"} {
		cfg := withMethod(t, contradiction(t), method)
		tr := open(t, cfg)
		harmed := 0.0
		tr.Resolver.Release()
		opt := tr.ResolverOptions()
		opt.Solver = watched{tr.Objective, &harmed}
		var err error
		if tr.Resolver, err = bucket.NewResolver(tr.Store, opt); err != nil {
			t.Fatal(err)
		}
		steps(t, tr, 15)
		r, err := tr.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.NegativePairs == 0 || r.Pairs != len(r.Buckets) {
			t.Errorf("%s: %d of %d pairs in conflict in %d buckets", method, r.NegativePairs, r.Pairs, len(r.Buckets))
		}
		for _, b := range r.Buckets {
			if (b.NegativePairs > 0) != (b.MinCosine < 0) {
				t.Errorf("%s, %s: %d negative pairs, least cosine %v", method, b.Name, b.NegativePairs, b.MinCosine)
			}
		}
		if method != "pcgrad" && harmed > 1e-6 { // both find a direction that harms nobody
			t.Errorf("%s: a language is harmed by %.3g of the gradients' size", method, harmed)
		}
		tr.Close()
	}
}

// Few examples, many steps: they must be learnt by heart.
func TestOverfits(t *testing.T) {
	cfg := tiny(t, "batch.rows=3", "schedule.steps=40", "schedule.kind=constant", "schedule.warmup=0", "optim.lr=0.03")
	sameExamples(t, cfg)
	loss := steps(t, open(t, cfg), 40)
	if first, last := loss[0], loss[len(loss)-1]; first < 4 || last > 0.3 || math.IsNaN(last) {
		t.Errorf("the loss went from %.3f to %.3f", first, last)
	}
}
