package bucket

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/param"
	"concord/internal/ref"
	"concord/moo"
	"concord/tensor"
)

// fixedSolver knows the weights of some groups before the step.
type fixedSolver struct {
	solver
	weights map[int][]float64
}

func (f fixedSolver) StaticWeights(group int) []float64 { return f.weights[group] }

// want is Σ weights[m] · g_m of a parameter.
func weighted(j [][]float64, weights []float64) []float32 {
	out := make([]float32, len(j[0]))
	for i := range out {
		sum := 0.0
		for m, w := range weights {
			sum += w * j[m][i]
		}
		out[i] = float32(sum)
	}
	return out
}

// Groups whose weights are known take one scaled product, others go on as they
// do, over micro-batches too; norms are those of all.
func TestFixedWeights(t *testing.T) {
	e := testEngine(t)
	m := newModel(t, e, true)
	for _, micro := range []int{1, 2} {
		s := m.store("layer")
		known := map[int][]float64{0: {.5, 2, .25, 0}, len(s.Layout.Groups) - 1: {1, 1, 1, 1}}
		r := m.resolverWith(s, Options{Solver: fixedSolver{testSolver, known}, Static: true, Tokens: 16})
		m.backward(r, micro)
		rep := finish(t, r)
		j, norm2 := m.jacobian(micro), 0.0
		for u, group := range s.Layout.Groups {
			p := s.Layout.Buckets[group.Buckets[0]].Params
			names := (Layout{Buckets: []Bucket{{Params: p}}}).Names()
			w, _ := testSolver(u, gram(j, names, m.objectives()))
			if known[u] != nil {
				w = known[u]
				if !slices.Equal(rep.Buckets[u].Weights, w) || rep.Buckets[u].G != nil {
					t.Errorf("%s: weights %v", group.Name, rep.Buckets[u].Weights)
				}
			}
			for _, name := range names {
				want := weighted(j[name], w)
				got, err := s.Read(Gradient, name)
				if err != nil {
					t.Fatal(err)
				}
				if err := optest.Compare(got, want, 1e-10); err != nil {
					t.Errorf("micro %d, %s: %v", micro, name, err)
				}
				for _, v := range want {
					norm2 += float64(v) * float64(v)
				}
			}
		}
		if math.Abs(rep.Norm-math.Sqrt(norm2)) > 1e-5*rep.Norm {
			t.Errorf("norm %v, want %v", rep.Norm, math.Sqrt(norm2))
		}
		r.Release()
		s.Release()
	}
}

// The Gram from activations resolves as rows do, for some parameters or all, and
// an objective with NaN is left out as cleanly.
func TestGhostResolve(t *testing.T) {
	e := testEngine(t)
	for _, poison := range []map[int]float32{nil, {1: float32(math.NaN())}} {
		for _, scope := range []string{"tensor", "layer", "global"} {
			m := newModel(t, e, true)
			m.poison = poison
			s := m.store(scope)
			rows := m.resolver(s, 1, testSolver)
			m.backward(rows, 1)
			want := finish(t, rows)
			gradient := gradients(t, s)
			rows.Release()
			ghost := m.resolverWith(s, Options{Solver: solver(testSolver), Tokens: 16,
				Ghost: func(p Param) bool { return !p.Kind.Vector() && p.C != 5 }})
			for range 2 {
				m.backward(ghost, 1)
				got := finish(t, ghost)
				if err := optest.Compare(gradients(t, s), gradient, 1e-9); err != nil {
					t.Errorf("%s, poison %v: %v", scope, poison, err)
				}
				if math.Abs(got.Norm-want.Norm) > 1e-4*want.Norm || got.Negative != want.Negative ||
					!slices.Equal(got.Buckets[0].NonFinite, want.Buckets[0].NonFinite) {
					t.Errorf("%s: report %+v, want %+v", scope, got, want)
				}
			}
			ghost.Release()
			s.Release()
		}
	}
}

// Halves add up to the whole, and their Gram is the halves'.
func TestHalves(t *testing.T) {
	e := testEngine(t)
	m := newModel(t, e, false)
	s := m.store("layer")
	defer s.Release()
	whole := m.resolver(s, 1, testSolver)
	m.backward(whole, 1)
	want := finish(t, whole)
	gradient := gradients(t, s)
	r := m.resolverWith(s, Options{Solver: solver(testSolver), Halves: true, Tokens: 16})
	m.backward(r, 1)
	got := finish(t, r)
	if err := optest.Compare(gradients(t, s), gradient, 1e-10); err != nil {
		t.Error(err)
	}
	for b := range got.Buckets {
		g, h := got.Buckets[b].G, got.Buckets[b].Halves
		if !mat.EqualApprox(g, want.Buckets[b].G, 1e-5*mat.Trace(g)) {
			t.Errorf("bucket %d: G %v, want %v", b, mat.Formatted(g), mat.Formatted(want.Buckets[b].G))
		}
		if sum := h.At(0, 0) + 2*h.At(0, 1) + h.At(1, 1); math.Abs(sum-g.At(0, 0)) > 1e-6*g.At(0, 0) || h.SymmetricDim() != 2*g.SymmetricDim() {
			t.Errorf("bucket %d: halves %v", b, mat.Formatted(h))
		}
	}
	if _, err := NewResolver(s, Options{Objectives: 33, Solver: solver(testSolver), Halves: true}); err == nil {
		t.Error("33 objectives in halves are accepted")
	}
}

// elementSolver combines element by element.
type elementSolver struct{ rule moo.ElementRule }

func (elementSolver) StaticWeights(int) []float64 { return nil }
func (s elementSolver) Solve(p Problem) (Solution, error) {
	var used []int
	for i := range p.G.SymmetricDim() {
		if live(p.G.At(i, i)) {
			used = append(used, i)
		}
	}
	return Solution{Elements: &Elementwise{Rule: s.rule, Used: used, Key: [2]uint32{1, 2}}}, nil
}

// Element-wise rules work on the rows of the objectives that have a gradient,
// with draws that go on over a group's parameters.
func TestElements(t *testing.T) {
	e := testEngine(t)
	m := newModel(t, e, true)
	j := m.jacobian(1)
	for _, rule := range []moo.ElementRule{{Kind: moo.GradDrop, Leak: 0.25}, {Kind: moo.TrimmedMean, Trim: 1}} {
		s := m.store("layer")
		r := m.resolverWith(s, Options{Solver: elementSolver{rule}})
		m.backward(r, 1)
		rep := finish(t, r)
		norm2 := 0.0
		for _, b := range s.Layout.Buckets {
			base := uint32(0)
			for _, p := range b.Params {
				want := make([]float32, p.Size())
				var rows []float32
				for obj := range m.objectives() {
					for _, v := range j[p.Name][obj] {
						rows = append(rows, float32(v))
					}
				}
				used := []int{0, 1, 3} // the third objective has no tokens
				if rule.Kind == moo.GradDrop {
					ref.GradDrop(want, rows, p.Size(), used, 0.25, [2]uint32{1, 2}, base)
				} else {
					ref.TrimmedMean(want, rows, p.Size(), used, 1)
				}
				got, err := s.Read(Gradient, p.Name)
				if err != nil {
					t.Fatal(err)
				}
				if err := optest.Compare(got, want, 1e-9); err != nil {
					t.Errorf("%v, %s: %v", rule.Kind, p.Name, err)
				}
				for _, v := range got {
					norm2 += float64(v) * float64(v)
				}
				base += uint32(p.Size())
			}
		}
		if math.Abs(rep.Norm-math.Sqrt(norm2)) > 1e-5*rep.Norm || rep.Buckets[0].Weights != nil || rep.Pairs == 0 {
			t.Errorf("%v: report %+v", rule.Kind, rep)
		}
		r.Release()
		s.Release()
	}
}

// Non-conflict of the raw gradients does not survive AdamW's preconditioner;
// resolved in its metric it does. Two languages agree in an element that Adam
// hardly moves, as it has seen large gradients there, and conflict in one that it
// moves far. The weights are moved by the optimizer's own kernel, without momentum.
func TestAdamMetric(t *testing.T) {
	e := testEngine(t)
	const n = 4
	rows := [][]float32{{10, 1, 0, 0}, {10, -0.5, 0, 0}}
	second := []float32{1e6, 1e-2, 1e-2, 1e-2}
	params := []Param{declare("w", param.Norm, 0, 1, n)}
	change := func(metric bool) []float64 { // of each language's loss, to first order
		l, err := Partition(params, ByTensor, Limits{Objectives: 2})
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewStore(e, l, Training...)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Release()
		if err := s.Load(Second, "w", second); err != nil {
			t.Fatal(err)
		}
		const beta2, eps, step = 0.999, 1e-8, 1000
		upgrad, _ := moo.New("upgrad", nil)
		o := Options{Objectives: 2, Solver: solver(func(_ int, g *mat.SymDense) ([]float64, error) {
			r, err := moo.Solve(upgrad, moo.Input{G: g})
			return r.Weights, err
		})}
		if metric {
			o.Metric = func() tensor.AdamMetric {
				return tensor.AdamMetric{Beta2: beta2, Eps: eps, Step: step, GradScale: 1, Mean: []float32{.5, .5}}
			}
		}
		r, err := NewResolver(s, o)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Release()
		r.Begin(1)
		// One token a language: dy = 1 and x = the row make the row the gradient.
		x, dy, seg := e.New(gpu.RoleScratch, "x", 2, n), e.New(gpu.RoleScratch, "dy", 2, 1), e.NewSegments(gpu.RoleData, []int{0, 1, 2})
		e.Upload(x, slices.Concat(rows...))
		e.Upload(dy, []float32{1, 1})
		r.Use("w", x, seg, func(x tensor.Tensor, to tensor.Target) { e.MatMulSegmented(to.Rows, dy, x, to.Segments, to.Accumulate) })
		finish(t, r)
		e.AdamW(s.Flat(Weight, 0), s.Flat(First, 0), s.Flat(Second, 0), s.Flat(Gradient, 0),
			tensor.AdamWParams{LR: 1, Beta1: 0, Beta2: beta2, Eps: eps, Step: step, GradScale: 1})
		moved, err := s.Read(Weight, "w") // the weights were zero: what they are is Δθ
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float64, 2)
		for m := range out {
			for i, v := range moved {
				out[m] += float64(rows[m][i]) * float64(v)
			}
		}
		return out
	}
	raw, aware := change(false), change(true)
	if max(raw[0], raw[1]) < 1e-3 {
		t.Errorf("the raw Gram's step changes the losses by %v: it should harm one", raw)
	}
	if max(aware[0], aware[1]) > 1e-5*math.Abs(min(aware[0], aware[1])) {
		t.Errorf("the aware Gram's step changes the losses by %v: it harms one", aware)
	}
}
