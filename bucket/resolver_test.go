package bucket

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/param"
	"concord/tensor"
)

func testEngine(t testing.TB) *tensor.Engine {
	t.Helper()
	gpu.KeepDevices() // kernels take longer to compile than these sizes to compute
	dev, err := gpu.Open(gpu.Options{Adapter: os.Getenv("CONCORD_ADAPTER")})
	if err != nil {
		if os.Getenv("REQUIRE_GPU") != "" {
			t.Fatalf("no GPU adapter: %v", err)
		}
		t.Skipf("no GPU adapter: %v", err)
	}
	t.Cleanup(dev.Close)
	return tensor.NewEngine(dev, tensor.Options{NoAutotune: true, TreatAsGPU: os.Getenv("CONCORD_TREAT_AS_GPU") != ""})
}

// model is a stand-in for a backward pass: each use of each parameter is a
// product of random activations, segmented by objective.
type model struct {
	t      testing.TB
	e      *tensor.Engine
	params []Param
	starts []int           // tokens by objective; the third objective has none
	poison map[int]float32 // a value that the objective's last token gets
}

func newModel(t testing.TB, e *tensor.Engine, tied bool) *model {
	return &model{t: t, e: e, params: llama(4, tied), starts: []int{0, 5, 9, 9, 16}}
}

func (m *model) objectives() int { return len(m.starts) - 1 }

func (m *model) store(scope string) *Store {
	m.t.Helper()
	l, err := Partition(m.params, named[scope], Limits{Objectives: m.objectives(), BindingBytes: 1 << 27})
	if err != nil {
		m.t.Fatal(err)
	}
	s, err := NewStore(m.e, l, Training...)
	if err != nil {
		m.t.Fatal(err)
	}
	return s
}

// operands are the activations of a use, scaled so that layers differ in size.
func (m *model) operands(p Param, use, micro int) (a, b []float32) {
	n := m.starts[m.objectives()]
	seed := uint64(len(p.Name)*1000+p.R*p.C*7+use*31+micro*17) + uint64(p.Name[len(p.Name)/2])
	a, b = optest.Random(n*p.R, seed), optest.Random(n*p.C, seed+1)
	for obj, v := range m.poison {
		if !p.Kind.Vector() {
			a[(m.starts[obj+1]-1)*p.R] = v
		}
	}
	return a, b
}

// uses lists the writes of a backward pass: those of a tied parameter come
// first and last.
func (m *model) uses() []Param {
	var out []Param
	for _, p := range m.params {
		if p.Shared() {
			out = append(out, p)
		}
	}
	return append(out, m.params...)
}

// backward runs micro micro-batches through r, with one segment when r is direct.
func (m *model) backward(r *Resolver, micro int) {
	r.Begin(micro)
	starts := m.starts
	switch r.Segments() {
	case 1:
		starts = []int{0, m.starts[m.objectives()]}
	case 2 * m.objectives():
		starts = m.halves()
	}
	seg := m.e.NewSegments(gpu.RoleData, starts)
	for k := range micro {
		count := map[string]int{}
		for _, p := range m.uses() {
			ha, hb := m.operands(p, count[p.Name], k)
			count[p.Name]++
			a, b := m.e.New(gpu.RoleActivations, "a", starts[len(starts)-1], p.R), m.e.New(gpu.RoleActivations, "b", starts[len(starts)-1], p.C)
			m.e.Upload(a, ha)
			m.e.Upload(b, hb)
			if p.Kind == param.Linear {
				r.Linear(p.Name, a, b, seg)
			} else {
				r.Use(p.Name, b, seg, func(b tensor.Tensor, to tensor.Target) {
					m.e.MatMulSegmented(to.Rows, a, b, to.Segments, to.Accumulate)
				})
			}
			m.e.Upload(a, make([]float32, len(ha))) // operands may be overwritten at once
			m.e.Upload(b, make([]float32, len(hb)))
			a.Buf.Release()
			b.Buf.Release()
		}
	}
}

// halves cuts every objective's tokens in two.
func (m *model) halves() []int {
	out := []int{0}
	for i := range m.objectives() {
		a, b := m.starts[i], m.starts[i+1]
		out = append(out, a+(b-a+1)/2, b)
	}
	return out
}

// jacobian is the same in float64: per parameter and objective R*C values.
func (m *model) jacobian(micro int) map[string][][]float64 {
	out := map[string][][]float64{}
	for _, p := range m.params {
		for range m.objectives() {
			out[p.Name] = append(out[p.Name], make([]float64, p.R*p.C))
		}
	}
	for k := range micro {
		count := map[string]int{}
		for _, p := range m.uses() {
			a, b := m.operands(p, count[p.Name], k)
			count[p.Name]++
			for obj := range m.objectives() {
				for tok := m.starts[obj]; tok < m.starts[obj+1]; tok++ {
					for i := range p.R {
						for j := range p.C {
							out[p.Name][obj][i*p.C+j] += float64(a[tok*p.R+i]) * float64(b[tok*p.C+j])
						}
					}
				}
			}
		}
	}
	return out
}

// gram sums over the parameters of names.
func gram(j map[string][][]float64, names []string, m int) *mat.SymDense {
	g := mat.NewSymDense(m, nil)
	for _, name := range names {
		for a := range m {
			for b := a; b < m; b++ {
				var sum float64
				for i, v := range j[name][a] {
					sum += v * j[name][b][i]
				}
				g.SetSym(a, b, g.At(a, b)+sum)
			}
		}
	}
	return g
}

// solver makes a Solver of a function of the Gram.
type solver func(group int, g *mat.SymDense) ([]float64, error)

func (s solver) StaticWeights(int) []float64 { return nil }
func (s solver) Solve(p Problem) (Solution, error) {
	w, err := s(p.Group, p.G)
	return Solution{Weights: w}, err
}

// testSolver is a smooth function of the whole Gram that leaves zero and
// non-finite rows out and has negative weights too.
func testSolver(_ int, g *mat.SymDense) ([]float64, error) {
	m := g.SymmetricDim()
	w := make([]float64, m)
	for i := range m {
		if !live(g.At(i, i)) {
			continue
		}
		w[i] = 0.5
		for j := range m {
			if i != j && live(g.At(j, j)) {
				w[i] -= float64(j+1) * g.At(i, j) / math.Sqrt(g.At(i, i)*g.At(j, j))
			}
		}
	}
	return w, nil
}

func (m *model) resolver(s *Store, inFlight int, f solver) *Resolver {
	o := Options{InFlight: inFlight, Tokens: m.starts[m.objectives()]}
	if f != nil {
		o.Solver = f
	}
	return m.resolverWith(s, o)
}

func (m *model) resolverWith(s *Store, o Options) *Resolver {
	m.t.Helper()
	o.Objectives = m.objectives()
	r, err := NewResolver(s, o)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func finish(t testing.TB, r *Resolver) Report {
	t.Helper()
	rep, err := r.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func gradients(t testing.TB, s *Store) []float32 {
	t.Helper()
	var out []float32
	for _, name := range llamaNames(s) {
		v, err := s.Read(Gradient, name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v...)
	}
	return out
}

// llamaNames is independent of the layout.
func llamaNames(s *Store) []string {
	var out []string
	_, untied := s.Layout.Place("lm_head.weight")
	for _, p := range llama(4, !untied) {
		out = append(out, p.Name)
	}
	return out
}

// TestResolve compares a step in every scope with float64 on the CPU: Grams,
// combined gradients and norms, with tied uses and micro-batches summed first.
func TestResolve(t *testing.T) {
	e := testEngine(t)
	for _, tied := range []bool{true, false} {
		m := newModel(t, e, tied)
		for _, scope := range []string{"tensor", "layer", "1MB", "global"} {
			for _, micro := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s,tied=%v,micro=%d", scope, tied, micro), func(t *testing.T) {
					s := m.store(scope)
					defer s.Release()
					r := m.resolver(s, 1, testSolver)
					defer r.Release()
					m.backward(r, micro)
					checkStep(t, m, s, finish(t, r), micro)
				})
			}
		}
	}
}

func checkStep(t *testing.T, m *model, s *Store, rep Report, micro int) {
	t.Helper()
	j := m.jacobian(micro)
	groups := [][]string{s.Layout.Names()}
	if !s.Layout.Global {
		groups = nil
		for _, b := range s.Layout.Buckets {
			groups = append(groups, (Layout{Buckets: []Bucket{b}}).Names())
		}
	}
	var norm2 float64
	for b, names := range groups {
		g := gram(j, names, m.objectives())
		if !mat.EqualApprox(g, rep.Buckets[b].G, 1e-5*mat.Trace(g)) {
			t.Errorf("bucket %d: G is %v, want %v", b, mat.Formatted(rep.Buckets[b].G), mat.Formatted(g))
		}
		w, _ := testSolver(b, g)
		for _, name := range names {
			p, _ := s.Layout.Place(name)
			want := make([]float32, p.Size())
			for i := range want {
				var sum float64
				for obj := range m.objectives() {
					sum += w[obj] * j[name][obj][i]
				}
				want[i] = float32(sum)
				norm2 += sum * sum
			}
			got, err := s.Read(Gradient, name)
			if err != nil {
				t.Fatal(err)
			}
			if err := optest.Compare(got, want, 1e-10); err != nil {
				t.Errorf("gradient of %s: %v", name, err)
			}
		}
	}
	if want := math.Sqrt(norm2); math.Abs(rep.Norm-want) > 1e-5*want {
		t.Errorf("norm is %v, want %v", rep.Norm, want)
	}
	if rep.Pairs == 0 || rep.Pairs > 3*len(rep.Buckets) { // 3 of the 4 objectives have tokens
		t.Errorf("%d pairs in %d buckets", rep.Pairs, len(rep.Buckets))
	}
}

// TestOneBucketIsGlobal checks that one bucket of everything and the scope
// "global", whose Gram is a sum, do the same.
func TestOneBucketIsGlobal(t *testing.T) {
	e := testEngine(t)
	m := newModel(t, e, true)
	var got [2][]float32
	var reps [2]Report
	for i, scope := range []string{"1MB", "global"} {
		s := m.store(scope)
		r := m.resolver(s, 1, testSolver)
		m.backward(r, 1)
		reps[i] = finish(t, r)
		got[i] = gradients(t, s)
	}
	if len(reps[0].Buckets) != 1 || len(reps[1].Buckets) != 1 {
		t.Fatalf("%d and %d buckets", len(reps[0].Buckets), len(reps[1].Buckets))
	}
	if n := optest.NMSE(got[0], got[1]); n > 1e-10 {
		t.Errorf("NMSE between one bucket and global is %.3g", n)
	}
	if reps[0].Negative != reps[1].Negative || math.Abs(reps[0].Norm-reps[1].Norm) > 1e-5*reps[0].Norm {
		t.Errorf("reports differ: %v and %v", reps[0], reps[1])
	}
}

// TestPipelineKeepsBits checks that the number of buckets in flight and the
// reuse of memory in later steps do not change a bit.
func TestPipelineKeepsBits(t *testing.T) {
	e := testEngine(t)
	for _, scope := range []string{"tensor", "layer"} {
		m := newModel(t, e, true)
		var want []float32
		for _, inFlight := range []int{1, 2, 3, 100} {
			s := m.store(scope)
			r := m.resolver(s, inFlight, testSolver)
			for range 2 {
				m.backward(r, 1)
				finish(t, r)
				got := gradients(t, s)
				if want == nil {
					want = got
				}
				if i := optest.Bits(got, want); i >= 0 {
					t.Errorf("%s: other bits at %d with %d in flight", scope, i, inFlight)
				}
			}
		}
	}
}

// TestRowsMemory holds the peak of the rows to M rows of the largest buckets in
// flight, and M gradients for "global" only.
func TestRowsMemory(t *testing.T) {
	for _, tied := range []bool{true, false} {
		for _, c := range []struct {
			scope    string
			inFlight int
		}{{"layer", 1}, {"layer", 2}, {"tensor", 1}, {"tensor", 2}, {"global", 1}} {
			e := testEngine(t)
			m := newModel(t, e, tied)
			s := m.store(c.scope)
			r := m.resolver(s, c.inFlight, testSolver)
			plan := r.RowBytes(1)
			for range 3 {
				m.backward(r, 1)
				finish(t, r)
			}
			largest, embedding, all := 0, 0, 0
			for _, b := range s.Layout.Buckets {
				all += b.Size
				if tied && strings.Contains(b.Name, "embed") {
					embedding = b.Size
					continue
				}
				largest = max(largest, b.Size)
			}
			most := int64(m.objectives()) * 4 * int64(c.inFlight*largest+embedding)
			if c.scope == "global" {
				most = int64(m.objectives()) * 4 * int64(all)
			}
			if got := e.Dev.Memory().Roles[gpu.RoleRows].Peak; got > most || got == 0 {
				t.Errorf("%v, tied %v: rows take %d bytes at their peak, want at most %d", c, tied, got, most)
			} else if got != plan || r.RowBytes(1) != 0 {
				t.Errorf("%v, tied %v: rows take %d bytes at their peak, planned were %d", c, tied, got, plan)
			}
		}
	}
}

// TestDirect checks a method that needs no rows: the gradient in place, its
// norm, and no memory for rows.
func TestDirect(t *testing.T) {
	e := testEngine(t)
	m := newModel(t, e, true)
	for _, micro := range []int{1, 3} {
		s := m.store("layer")
		r := m.resolver(s, 0, nil)
		m.backward(r, micro)
		rep := finish(t, r)
		j := m.jacobian(micro)
		var norm2 float64
		var want []float32
		for _, p := range m.params {
			for i := range p.Size() {
				var sum float64
				for obj := range m.objectives() {
					sum += j[p.Name][obj][i]
				}
				norm2 += sum * sum
				want = append(want, float32(sum))
			}
		}
		if err := optest.Compare(gradients(t, s), want, 1e-10); err != nil {
			t.Error(err)
		}
		if math.Abs(rep.Norm-math.Sqrt(norm2)) > 1e-5*rep.Norm || rep.Buckets[0].G != nil {
			t.Errorf("norm is %v, want %v", rep.Norm, math.Sqrt(norm2))
		}
	}
	if got := e.Dev.Memory().Roles[gpu.RoleRows].Peak; got != 0 {
		t.Errorf("rows take %d bytes", got)
	}
}

// TestNonFiniteRow checks that an objective with NaN or Inf is reported and,
// given weight 0, does no harm; and that any other weight is an error.
func TestNonFiniteRow(t *testing.T) {
	e := testEngine(t)
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
		m := newModel(t, e, true)
		m.poison = map[int]float32{1: bad}
		s := m.store("layer")
		r := m.resolver(s, 1, testSolver)
		m.backward(r, 1)
		rep := finish(t, r)
		for _, b := range rep.Buckets {
			if len(b.NonFinite) != 1 || b.NonFinite[0] != 1 || b.Weights[1] != 0 {
				t.Errorf("%v: bucket %q reports %v with weights %v", bad, b.Name, b.NonFinite, b.Weights)
			}
		}
		for i, v := range gradients(t, s) {
			if !finite(float64(v)) {
				t.Fatalf("%v: gradient value %d is %v", bad, i, v)
			}
		}
		if !finite(rep.Norm) || rep.Norm == 0 {
			t.Errorf("norm is %v", rep.Norm)
		}
		r = m.resolver(s, 1, func(int, *mat.SymDense) ([]float64, error) { return []float64{1, 1, 1, 1}, nil })
		m.backward(r, 1)
		if _, err := r.Finish(); err == nil || !strings.Contains(err.Error(), "objective 1") {
			t.Errorf("a weight on a NaN row: %v", err)
		}
	}
}

// TestFailures checks that errors surface in Finish and that the next step works.
func TestFailures(t *testing.T) {
	e := testEngine(t)
	m := newModel(t, e, true)
	s := m.store("layer")
	broken := errors.New("no solution")
	calls := 0
	r := m.resolver(s, 1, func(b int, g *mat.SymDense) ([]float64, error) {
		if calls++; calls == 2 {
			return nil, broken
		}
		return testSolver(b, g)
	})
	m.backward(r, 1)
	if _, err := r.Finish(); !errors.Is(err, broken) || !strings.Contains(err.Error(), "layer 2") {
		t.Errorf("solver's error: %v", err)
	}
	r.Begin(1)
	if _, err := r.Finish(); err == nil || !strings.Contains(err.Error(), "lacks") {
		t.Errorf("nothing written: %v", err)
	}
	m.backward(r, 1)
	checkStep(t, m, s, finish(t, r), 1)
	if _, err := NewResolver(s, Options{Objectives: 65, Solver: solver(testSolver)}); err == nil {
		t.Error("65 objectives are accepted")
	}
}

// live says that an objective takes part in testSolver.
func live(diagonal float64) bool { return finite(diagonal) && diagonal > 0 }
