package moo

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// stochasticVectors are from implementations on the gradients themselves.
type stochasticVectors struct {
	Cases []struct {
		J                        []jacobian // of successive steps
		MoDo, SDMGrad, ExcessMTL [][]float64
		Project                  []struct{ Weights, Vector []float64 }
	}
	FAMO []struct {
		Steps []struct{ Before, After, Weights []float64 }
	}
}

func loadStochastic(t *testing.T) (v stochasticVectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/stochastic.json")
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil || len(v.Cases) == 0 || len(v.FAMO) == 0 {
		t.Fatal(err, v)
	}
	return v
}

// TestStochasticVectors compares methods with a memory over successive steps, on Grams of
// several scales: the states hold no scale of Solve's.
func TestStochasticVectors(t *testing.T) {
	for _, c := range loadStochastic(t).Cases {
		for name, x := range map[string]struct {
			options map[string]any
			want    [][]float64
		}{
			"modo":      {map[string]any{"gamma": 0.7, "rho": 0.1}, c.MoDo},
			"sdmgrad":   {map[string]any{"lambda": 0.4, "beta": 0.3, "steps": 7.0}, c.SDMGrad},
			"excessmtl": {map[string]any{"eta": 0.5}, c.ExcessMTL},
		} {
			for _, factor := range []float64{1, 1e-9, 1e9} {
				m, state := must(t, name, x.options), State{}
				for step, j := range c.J {
					scaledJ := make(jacobian, len(j))
					for i := range j {
						scaledJ[i] = scale(j[i], factor)
					}
					r, err := Solve(m, Input{G: scaledJ.Gram(), State: state})
					if err != nil {
						t.Fatal(err)
					}
					if state = r.State; far(r.Weights, x.want[step]) > 1e-9 {
						t.Errorf("%s, %d objectives, step %d, factor %g: %v, want %v", name, len(j), step, factor, r.Weights, x.want[step])
					}
				}
			}
		}
	}
}

// fixed is a method with weights of its own, of any sign.
type fixed []float64

func (fixed) Name() string                    { return "fixed" }
func (f fixed) Weights(Input) (Result, error) { return Result{Weights: f}, nil }

// TestProject compares with the nearest of the projections on every set of constraints.
func TestProject(t *testing.T) {
	for _, c := range loadStochastic(t).Cases {
		for k, j := range c.J {
			m, err := Project(fixed(c.Project[k].Weights), "dual-cone")
			if err != nil {
				t.Fatal(err)
			}
			d, _ := direction(t, m, j)
			size := 0.0 // of rounding
			for i, w := range c.Project[k].Weights {
				size += math.Abs(w) * length(j[i])
			}
			if worst := farthest(d, c.Project[k].Vector); worst > 1e-9*size {
				t.Errorf("%d objectives, step %d: %v, want %v", len(j), k, d, c.Project[k].Vector)
			}
		}
	}
	j := gaussian(rng(3), 4, 6)
	for _, name := range []string{"mgda", "upgrad"} { // non-conflicting already
		m, err := Wrap(must(t, name, nil), Wrapping{Project: "dual-cone"})
		if err != nil {
			t.Fatal(err)
		}
		got, _ := direction(t, m, j)
		want, _ := direction(t, must(t, name, nil), j)
		if far(got, want) > 1e-9 {
			t.Errorf("%s: %v became %v", name, want, got)
		}
	}
	m, err := Wrap(must(t, "mean", nil), Wrapping{Project: "dual-cone"})
	if err == nil {
		t.Error("mean looks at no gradients, and is projected: ", m.Name())
	}
	if _, err := Project(fixed{1}, "cone"); err == nil {
		t.Error("an unknown projection is taken")
	}
}

func farthest(a, b []float64) (worst float64) {
	for i := range a {
		worst = max(worst, math.Abs(a[i]-b[i]))
	}
	return worst
}

// TestFAMO compares with the paper's algorithm by autograd and Adam.
func TestFAMO(t *testing.T) {
	for _, c := range loadStochastic(t).FAMO {
		m := must(t, "famo", map[string]any{"lr": 0.05, "weight_decay": 0.01, "min_loss": 0.1})
		in := Input{}
		for step, s := range c.Steps {
			in.Losses = s.Before
			r, err := Solve(m, in)
			if err != nil {
				t.Fatal(err)
			}
			if far(r.Weights, s.Weights) > 1e-9 {
				t.Errorf("step %d: %v, want %v", step, r.Weights, s.Weights)
			}
			in = Input{State: r.State, Before: s.Before, After: s.After}
		}
	}
	r, err := Solve(must(t, "famo", nil), Input{Losses: []float64{1, 1}, Before: []float64{2, math.NaN()}, After: []float64{2, 1}})
	if err != nil || r.Weights[0] != 0.5 {
		t.Errorf("no known change: %v, %v", r.Weights, err)
	}
	if _, err := Solve(must(t, "famo", nil), Input{Losses: []float64{1, 1}, Before: []float64{2}, After: []float64{2, 1}}); err == nil {
		t.Error("losses of another number of objectives are taken")
	}
}

// TestSDMGradLimits: many steps without pull are mgda, an endless pull is mean.
func TestSDMGradLimits(t *testing.T) {
	for seed := range uint64(20) {
		j := gaussian(rng(seed), 4, 7)
		d, _ := direction(t, must(t, "sdmgrad", map[string]any{"lambda": 0.0, "steps": 5000.0}), j)
		want, _ := direction(t, must(t, "mgda", nil), j)
		if far(d, want) > 1e-6 {
			t.Errorf("seed %d: %v, mgda %v", seed, d, want)
		}
		d, _ = direction(t, must(t, "sdmgrad", map[string]any{"lambda": 1e6}), j)
		if want, _ = direction(t, must(t, "mean", nil), j); far(d, want) > 1e-5 {
			t.Errorf("seed %d: %v, mean %v", seed, d, want)
		}
	}
}
