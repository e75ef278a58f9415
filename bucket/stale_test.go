package bucket

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"concord/bucket/exchange"
)

// script is a step's exchange that hands over given events and notes what is told.
type script struct {
	exchange.Exchange
	events []exchange.Event
	solved int
}

func (x *script) Rows() []int { return nil }

func (x *script) Next(bool) (e exchange.Event, err error) {
	e, x.events = x.events[0], x.events[1:]
	return e, nil
}

func (x *script) Solved(exchange.Event, []byte) { x.solved++ }

func (x *script) Resolved(_ exchange.Event, g []float32, meta func(float64) []byte) ([]float32, error) {
	meta(1)
	return g, nil
}

// together is testSolver as machines share it; it has no state.
type together struct{ solver }

func (together) Counted(int, []int, []float64) {}
func (together) Export(int) ([]byte, error)    { return []byte("null"), nil }
func (together) Import(int, []byte) error      { return nil }

// A group whose rows were added up here, and that another machine has resolved before this one
// came to it, has that machine's gradient: what comes of the earlier attempt does not count.
func TestLaterGradientStays(t *testing.T) {
	m := newModel(t, testEngine(t), true)
	s := m.store("layer")
	defer s.Release()
	r := m.resolverWith(s, Options{Solver: together{testSolver}, Tokens: 16})
	defer r.Release()
	n := s.Layout.Groups[0].Size
	sum := exchange.Event{Kind: exchange.Sum, Epoch: 1, Tokens: make([]int, r.rows()), Losses: make([]float64, r.rows())}
	for i := range r.rows() {
		sum.Rows, sum.Tokens[i] = append(sum.Rows, slices.Repeat([]float32{float32(i + 1)}, n)), 1
	}
	later := exchange.Event{Kind: exchange.Gradient, Epoch: 2, Gradient: slices.Repeat([]float32{0.25}, n), Meta: []byte(`{"norm2":7}`)}
	x := &script{events: []exchange.Event{sum, later, {}, {Kind: exchange.Final}}}
	if err := r.BeginExchange(1, x, s.Layout.WholeGroups(), nil); err != nil {
		t.Fatal(err)
	}
	r.flow.(*owners).drain(true)
	if r.err != nil {
		t.Fatal(r.err)
	}
	if r.reports[0].Norm2 != 7 {
		t.Errorf("|g|² = %g of the later attempt is 7", r.reports[0].Norm2)
	}
	for p := range s.Layout.PlacesOf(0) {
		got, err := s.Read(Gradient, p.Name)
		if err != nil {
			t.Fatal(err)
		}
		if got[0] != 0.25 {
			t.Errorf("%s: %g of the earlier attempt", p.Name, got[0])
		}
	}
}

// What no other machine would take is an error where it is made: nobody would blame machine 1,
// and all would wait for it.
func TestNothingUnusableIsTold(t *testing.T) {
	r := &Resolver{opt: Options{Objectives: 2}, reports: make([]BucketReport, 1)}
	f := &owners{r: r, x: new(script)}
	for _, bad := range []float64{math.NaN(), math.Inf(-1)} {
		err := r.announce(f.x, exchange.Event{}, []float32{1, float32(bad)}, nil)
		if !errors.Is(err, ErrNotFinite) {
			t.Errorf("a gradient with %v: %v", bad, err)
		}
	}
	for _, c := range []struct {
		masked, tokens []int
		ok             bool
	}{{nil, []int{3, 4}, true}, {[]int{1}, []int{3, 4}, true}, {[]int{0, 1}, []int{3, 4}, false}, {[]int{1}, []int{0, 4}, false}} {
		r.reports[0].NonFinite = c.masked
		if err := r.resolvable(0, c.tokens); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrNotFinite) {
			t.Errorf("%v of %v tokens: %v", c.masked, c.tokens, err)
		}
	}
	for w, ok := range map[float64]bool{1: true, 2 * mostWeight: false} {
		x := new(script)
		f.x = x
		if err := f.tellSolution(exchange.Event{}, []float64{w, 0}); (err == nil) != ok || x.solved > 0 != ok {
			t.Errorf("a weight of %v", fmt.Sprint(w, " ", err))
		}
	}
}
