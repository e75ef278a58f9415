package moo

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"concord/moo/internal/jac"
)

// calls gives a method one loss vector after the other and returns the last
// weights. State goes through JSON each time.
func calls(t *testing.T, m Method, losses ...[]float64) []float64 {
	t.Helper()
	in := Input{Tokens: []float64{1, 1}}
	var r Result
	for i, l := range losses {
		in.Losses, in.Step = l, int64(i)
		if len(l) != 2 {
			in.Tokens = slices.Repeat([]float64{1}, len(l))
		}
		var err error
		if r, err = Solve(m, in); err != nil {
			t.Fatalf("%s, call %d: %v", m.Name(), i, err)
		}
		raw, err := json.Marshal(r.State)
		if err != nil {
			t.Fatal(err)
		}
		in.State = State{}
		if err := json.Unmarshal(raw, &in.State); err != nil {
			t.Fatal(err)
		}
	}
	return r.Weights
}

func approx(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-9*(1+math.Abs(want[i])) {
			t.Errorf("%s: weights %v, want %v", what, got, want)
			return
		}
	}
}

// Short sequences of calls, computed by hand.
func TestLossMethods(t *testing.T) {
	unknown := []float64{math.NaN(), math.NaN()}
	// GLS: √(1·4) = 2, w = ½·2/L; on the mean's scale 0.8 and 0.2.
	approx(t, "gls", calls(t, must(t, "gls", nil), []float64{1, 4}), []float64{1, 0.25})
	approx(t, "gls mean", calls(t, must(t, "gls", map[string]any{"rescale": "mean"}), []float64{1, 4}), []float64{0.8, 0.2})
	approx(t, "gls, nothing known", calls(t, must(t, "gls", nil), unknown), []float64{0.5, 0.5})
	// UW: s = 0 − lr(½ − L/2) with L = 1 and 3: s = 0 and 0.1 for lr 0.1.
	approx(t, "uw", calls(t, must(t, "uw", map[string]any{"lr": 0.1}), []float64{1, 3}), []float64{0.5, 0.5 * math.Exp(-0.1)})
	// IMTL-L: s = 0 − lr(L − 1) = 0 and −0.2.
	approx(t, "imtl-l", calls(t, must(t, "imtl-l", map[string]any{"lr": 0.1}), []float64{1, 3}), []float64{1, math.Exp(-0.2)})
	// DWA with windows of one step: the second ratio vector is (½, 1).
	want := softmax([]float64{0.25, 0.5})
	approx(t, "dwa", calls(t, must(t, "dwa", map[string]any{"window": 1.0}), []float64{4, 2}, []float64{2, 2}),
		[]float64{2 * want[0], 2 * want[1]})
	approx(t, "dwa, one window", calls(t, must(t, "dwa", map[string]any{"window": 1.0}), []float64{4, 2}), []float64{1, 1})
	approx(t, "dwa, τ large", calls(t, must(t, "dwa", map[string]any{"window": 1.0, "tau": 1e9}), []float64{4, 2}, []float64{1, 2}),
		[]float64{1, 1})
	// STCH: nadir (1, 1); then s = softmax(log(1, 3)) = (¼, ¾), w = s/L.
	one := map[string]any{"warmup": 1.0}
	approx(t, "stch", calls(t, must(t, "stch", one), []float64{1, 1}, []float64{1, 3}), []float64{0.25, 0.25})
	approx(t, "stch, μ small", calls(t, must(t, "stch", map[string]any{"warmup": 1.0, "mu": 1e-3}), []float64{1, 1},
		[]float64{1, 3}), []float64{0, 1. / 3})
	// FAMO: z = ½, w ∝ z/L; then Adam's first step moves ξ by lr against the sign of
	// z(δ − z·δ): the first objective fell, so ξ = (−lr, lr).
	famo := must(t, "famo-lagged", map[string]any{"weight_decay": 0.0})
	approx(t, "famo-lagged, first", calls(t, famo, []float64{1, 3}), []float64{0.75, 0.25})
	z := softmax([]float64{-0.025, 0.025})
	approx(t, "famo-lagged, second", calls(t, famo, []float64{2, 1}, []float64{1, 1}), z)
	// A loss that was not known is no change.
	approx(t, "famo-lagged, late loss", calls(t, famo, []float64{1, math.NaN()}, []float64{1, 100}, []float64{1, 100}),
		unitSum([]float64{1, 0.01}))
	// Temperature.
	for temp, ratio := range map[float64]float64{1: 100, 2: 10, 1e9: 1} {
		r, err := Solve(must(t, "temperature", map[string]any{"t": temp}), Input{Tokens: []float64{100, 1}})
		if err != nil || math.Abs(r.Weights[0]/r.Weights[1]-ratio) > 1e-6*ratio {
			t.Errorf("temperature %v: weights %v, %v", temp, r.Weights, err)
		}
	}
}

// IMTL-L at s is twice UW at −s.
func TestIMTLIsUW(t *testing.T) {
	for _, s := range []float64{-3, 0, 1.5} {
		i := calls(t, must(t, "imtl-l", map[string]any{"init": s, "lr": 0.0}), []float64{1, 2})
		u := calls(t, must(t, "uw", map[string]any{"init": -s, "lr": 0.0}), []float64{1, 2})
		approx(t, "imtl-l", i, scale(u, 2))
	}
}

// Whatever the losses are, weights are finite, and on the mean's scale they sum
// to one.
func TestAdversarialLosses(t *testing.T) {
	values := []float64{5e-324, 1e-300, 1e-30, 1, 3, 1e30, 1e300, 1e308, math.Inf(1), math.Inf(-1), math.NaN(), 0, -1}
	for _, info := range Methods() {
		if info.Needs != NeedsLosses {
			continue
		}
		for _, options := range []map[string]any{nil, ForTraining(info.Name, nil)} {
			m := must(t, info.Name, options)
			r := rand.New(rand.NewPCG(1, 2))
			var state State
			for step := range int64(300) {
				l := make([]float64, 4)
				for i := range l {
					l[i] = values[r.IntN(len(values))]
				}
				res, err := Solve(m, Input{Losses: l, Step: step, State: state})
				if err != nil || !allFinite(res.Weights) {
					t.Fatalf("%s, losses %v: weights %v, %v", info.Name, l, res.Weights, err)
				}
				if sum := res.Weights[0] + res.Weights[1] + res.Weights[2] + res.Weights[3]; options != nil && math.Abs(sum-1) > 1e-9 {
					t.Fatalf("%s, losses %v: weights sum to %v", info.Name, l, sum)
				}
				state = res.State
			}
		}
	}
}

// Wrappers against Jacobians that are scaled by hand.
func TestWrappers(t *testing.T) {
	for seed := range uint64(20) {
		j := gaussian(rng(seed), 4, 7).Scale(1, 10, 0.1, 3)
		losses, u := []float64{1, 2, 3, 4}, []float64{.1, .2, .3, .4}
		geometric := func(x []float64) float64 {
			sum := 0.0
			for _, v := range x {
				sum += math.Log(v) / float64(len(x))
			}
			return math.Exp(sum)
		}
		norms := make([]float64, 4)
		for i := range norms {
			norms[i] = length(j[i])
		}
		for _, name := range []string{"mgda", "upgrad"} {
			for kind, by := range map[string][]float64{"l2": norms, "loss": losses,
				"loss+": {norms[0] * 1, norms[1] * 2, norms[2] * 3, norms[3] * 4}} {
				d := make([]float64, 4)
				for i := range d {
					d[i] = geometric(by) / by[i]
				}
				m, err := Normalise(must(t, name, nil), kind)
				if err != nil {
					t.Fatal(err)
				}
				got, err := CombineRows(m, j, Input{Losses: losses})
				if err != nil {
					t.Fatal(err)
				}
				if want, _ := direction(t, must(t, name, nil), j.Scale(d...)); far(got, want) > 1e-6 {
					t.Errorf("%s %s: %v, want %v", name, kind, got, want)
				}
			}
		}
		got, err := CombineRows(Prefer(must(t, "mgda", nil)), j, Input{Preference: u})
		if want, _ := direction(t, must(t, "mgda", nil), j.Scale(.4, .8, 1.2, 1.6)); err != nil || far(got, want) > 1e-9 {
			t.Errorf("prefer: %v, want %v (%v)", got, want, err)
		}
	}
}

func TestEMA(t *testing.T) {
	in := func(k uint64, s State) Input { return Input{G: gaussian(rng(k), 3, 5).Gram(), State: s} }
	solve := func(alpha float64) [][]float64 {
		m, err := EMA(must(t, "mgda", nil), alpha)
		if err != nil {
			t.Fatal(err)
		}
		var s State
		var out [][]float64
		for k := range uint64(3) {
			r, err := Solve(m, in(k, s))
			if err != nil {
				t.Fatal(err)
			}
			s = r.State
			out = append(out, r.Weights)
		}
		return out
	}
	plain, frozen, half := solve(0), solve(1), solve(0.5)
	for k := range plain {
		approx(t, "α = 1", frozen[k], plain[0])
	}
	want := plain[0]
	for k := range plain {
		if k > 0 {
			want = []float64{(want[0] + plain[k][0]) / 2, (want[1] + plain[k][1]) / 2, (want[2] + plain[k][2]) / 2}
		}
		approx(t, "α = ½", half[k], want)
	}
	// An objective that is missing for a step keeps its average.
	m, _ := EMA(must(t, "mean", nil), 0.5)
	a, _ := Solve(m, Input{G: sym([]float64{1}, []float64{0, 1})})
	b, _ := Solve(m, Input{G: sym([]float64{1}, []float64{0, 0}), State: a.State})
	if !slices.Equal(b.Weights, []float64{1, 0}) || b.State.Objective["ema.weights"][1] != 0.5 {
		t.Errorf("masked: weights %v, state %v", b.Weights, b.State)
	}
}

func TestWrapRefuses(t *testing.T) {
	for _, m := range []string{"graddrop", "trimmed-mean"} {
		if _, err := EMA(must(t, m, nil), 0.5); err == nil {
			t.Errorf("%s is smoothed", m)
		}
		if _, err := Normalise(must(t, m, nil), "l2"); err == nil {
			t.Errorf("%s is normalised", m)
		}
		if _, err := Wrap(must(t, m, nil), Wrapping{EMA: 0.5}); err == nil {
			t.Errorf("%s is wrapped", m)
		}
		if w, err := Wrap(must(t, m, nil), Wrapping{}); err != nil || w.Name() != m {
			t.Errorf("%s: %v", m, err)
		}
	}
	once, _ := EMA(must(t, "mgda", nil), 0.5)
	if _, err := EMA(once, 0.5); err == nil {
		t.Error("smoothed twice")
	}
	if _, err := Normalise(must(t, "mean", nil), "l2"); err == nil {
		t.Error("mean is normalised")
	}
	if _, err := Normalise(must(t, "mgda", nil), "l3"); err == nil {
		t.Error("l3 exists")
	}
	if _, err := EMA(must(t, "mgda", nil), 1.5); err == nil {
		t.Error("α = 1.5")
	}
	// static keeps its weights inside a wrapper, and preferring what needs no
	// gradients is harmless.
	static, err := EMA(must(t, "static", map[string]any{"weights": "0.2,0.8"}), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Solve(static, Input{Losses: []float64{1, 1}})
	if err != nil || !slices.Equal(r.Weights, []float64{0.2, 0.8}) {
		t.Errorf("static in ema: %v, %v", r.Weights, err)
	}
	if _, err := Solve(Prefer(must(t, "rlw", nil)), Input{Preference: []float64{1, 3}}); err != nil {
		t.Error(err)
	}
}

// The draws are what shaders repeat: they may never change, and they are even.
func TestElementDraw(t *testing.T) {
	for _, c := range []struct {
		key   [2]uint32
		index uint32
		want  float32
	}{{[2]uint32{0, 0}, 0, 0.19039935}, {[2]uint32{1, 2}, 3, 0.71175176}, {[2]uint32{0xffffffff, 7}, 123456, 0.00443912}} {
		if got := ElementDraw(c.key, c.index); math.Abs(float64(got-c.want)) > 1e-7 {
			t.Errorf("draw %v %d is %.8f, want %.8f", c.key, c.index, got, c.want)
		}
	}
	var bins [10]int
	for i := range uint32(100000) {
		bins[int(ElementDraw([2]uint32{5, 6}, i)*10)]++
	}
	for _, n := range bins {
		if n < 9600 || n > 10400 {
			t.Errorf("bins %v", bins)
		}
	}
}

func TestElementwiseMethods(t *testing.T) {
	rows := jac.Jacobian{{1, -1, 2, 0}, {3, -2, -1, 0}, {2, 6, math.NaN(), 0}} // the third is left out
	full, err := CombineRows(must(t, "graddrop", map[string]any{"leak": 1.0}), rows, Input{})
	if err != nil || !slices.Equal(full, []float64{2, -1.5, 0.5, 0}) {
		t.Errorf("leak 1 is the mean: %v, %v", full, err)
	}
	drop, err := CombineRows(must(t, "graddrop", nil), rows, Input{Seed: 3})
	if err != nil || drop[0] != 2 || drop[1] != -1.5 || drop[2] != 1 && drop[2] != -0.5 || drop[3] != 0 {
		t.Errorf("graddrop: %v, %v", drop, err)
	}
	rows[2] = []float64{2, 6, 5, -9}
	trimmed, err := CombineRows(must(t, "trimmed-mean", nil), rows, Input{})
	if err != nil || !slices.Equal(trimmed, []float64{2, -1, 2, 0}) {
		t.Errorf("trimmed mean: %v, %v", trimmed, err)
	}
}
