package moo_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"gonum.org/v1/gonum/mat"

	"concord/moo"
	"concord/moo/internal/jac"
	"concord/moo/mootest"
)

type props = mootest.Properties

// conformance is what every method promises, with options.
var conformance = []struct {
	name    string
	options map[string]any
	props   props
}{
	{"mean", nil, props{PermutationInvariant: true, LinearUnderScaling: true, StronglyStationary: true, IdenticalRows: true, Simplex: true}},
	{"sum", nil, props{PermutationInvariant: true, LinearUnderScaling: true, StronglyStationary: true}},
	{"static", nil, props{PermutationInvariant: true, LinearUnderScaling: true, StronglyStationary: true, IdenticalRows: true}},
	{"mgda", nil, props{NonConflicting: true, PermutationInvariant: true, IdenticalRows: true, DuplicateInvariant: true, Simplex: true}},
	{"capped-mgda", nil, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"capped-mgda", map[string]any{"cap": 1.0}, props{NonConflicting: true, PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"capped-mgda", map[string]any{"cap": 0.3}, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"random", nil, props{Simplex: true, IdenticalRows: true}},
	{"token-mean", nil, props{PermutationInvariant: true, LinearUnderScaling: true, StronglyStationary: true, IdenticalRows: true, Simplex: true}},
	{"pcd", nil, props{IdenticalRows: true}},
	{"pcd", map[string]any{"tau": 0.5, "beta": 0.0}, props{IdenticalRows: true}},
	{"pcgrad", nil, props{}},
	{"pcgrad", map[string]any{"order": "ascending"}, props{}},
	{"pcgrad", map[string]any{"order": "descending"}, props{}},
	{"cagrad", map[string]any{"c": 0.0}, props{PermutationInvariant: true, LinearUnderScaling: true, StronglyStationary: true}},
	{"cagrad", map[string]any{"c": 0.5}, props{PermutationInvariant: true}},
	{"cagrad", map[string]any{"c": 1.0}, props{NonConflicting: true, PermutationInvariant: true}},
	{"cagrad", map[string]any{"c": 2.0}, props{NonConflicting: true, PermutationInvariant: true}},
	{"upgrad", nil, props{NonConflicting: true, PermutationInvariant: true, LinearUnderScaling: true, StronglyStationary: true, IdenticalRows: true}},
	{"dualproj", nil, props{NonConflicting: true, PermutationInvariant: true, StronglyStationary: true, IdenticalRows: true}},
	{"gradvac", nil, props{}},
	{"gradvac", map[string]any{"order": "ascending"}, props{}},
	{"imtl-g", nil, props{PermutationInvariant: true, IdenticalRows: true, Tolerance: 1e-6}},
	{"nash-mtl", nil, props{NonConflicting: true, FullRank: true, PermutationInvariant: true, AnyLength: true, Tolerance: 1e-5}},
	{"fairgrad", map[string]any{"alpha": 0.0}, props{PermutationInvariant: true, LinearUnderScaling: true, IdenticalRows: true}},
	{"fairgrad", map[string]any{"alpha": 0.1}, props{NonConflicting: true, FullRank: true, PermutationInvariant: true, AnyLength: true, Tolerance: 1e-5}},
	{"fairgrad", map[string]any{"alpha": 2.0}, props{NonConflicting: true, FullRank: true, PermutationInvariant: true, AnyLength: true, Tolerance: 1e-5}},
	{"aligned-mtl", nil, props{PermutationInvariant: true, IdenticalRows: true, Tolerance: 1e-6}},
	{"aligned-mtl", map[string]any{"scale": "median"}, props{PermutationInvariant: true, IdenticalRows: true, Tolerance: 1e-6}},
	{"aligned-mtl", map[string]any{"scale": "mean"}, props{PermutationInvariant: true, IdenticalRows: true, Tolerance: 1e-6}},
	{"config", nil, props{NonConflicting: true, EqualCosines: true, FullRank: true, PermutationInvariant: true, Tolerance: 1e-6}},
	{"db-mtl", nil, props{PermutationInvariant: true}},
	{"gradnorm", nil, props{PermutationInvariant: true}},
	{"rlw", nil, props{Simplex: true, IdenticalRows: true}},
	{"temperature", nil, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"dwa", nil, props{PermutationInvariant: true}},
	{"uw", nil, props{PermutationInvariant: true}},
	{"imtl-l", nil, props{PermutationInvariant: true}},
	{"gls", nil, props{PermutationInvariant: true}},
	{"stch", nil, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"famo", nil, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"famo-lagged", nil, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"modo", nil, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"modo", map[string]any{"gamma": 10.0, "rho": 0.5}, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"sdmgrad", nil, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"sdmgrad", map[string]any{"lambda": 0.0, "steps": 500.0}, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
	{"excessmtl", nil, props{PermutationInvariant: true, IdenticalRows: true, Simplex: true}},
}

func TestConformance(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range conformance {
		covered[c.name] = true
		t.Run(fmt.Sprint(c.name, c.options), func(t *testing.T) {
			m, err := moo.New(c.name, c.options)
			if err != nil {
				t.Fatal(err)
			}
			mootest.Run(t, m, c.props)
			training, err := moo.New(c.name, moo.ForTraining(c.name, c.options))
			if err != nil {
				t.Fatal(err)
			}
			p := c.props
			p.IdenticalRows, p.StronglyStationary = true, false
			mootest.Run(t, training, p)
		})
	}
	for _, info := range moo.Methods() {
		if !covered[info.Name] && info.Needs != moo.NeedsRows {
			t.Errorf("%s is held to nothing", info.Name)
		}
	}
}

// Wrapped methods are held to what the wrapping leaves.
func TestWrappedConformance(t *testing.T) {
	for _, kind := range []string{"l2", "loss", "loss+"} {
		for _, name := range []string{"mgda", "upgrad", "gradvac"} {
			m, err := moo.New(name, nil)
			if err != nil {
				t.Fatal(err)
			}
			if m, err = moo.Wrap(m, moo.Wrapping{Normalise: kind, EMA: 0.5}); err != nil {
				t.Fatal(err)
			}
			p := props{}
			if name != "gradvac" {
				p = props{NonConflicting: true, PermutationInvariant: true, IdenticalRows: true, Tolerance: 1e-7}
			}
			t.Run(name+" "+kind, func(t *testing.T) { mootest.Run(t, m, p) })
		}
	}
}

// TestControl holds that a control has the direction of one vector and the length of
// the other, for gradients of any norms, and is nothing where the method vanishes.
func TestControl(t *testing.T) {
	for _, name := range []string{"mgda", "pcgrad", "cagrad", "imtl-g"} {
		for seed := range uint64(20) {
			j := jac.Gaussian(jac.RNG(seed), 4, 9).Scale(1, 10, 0.1, 3, 1)
			norm, direction, own, mean := controlled(t, name, "norm", j), controlled(t, name, "direction", j), controlled(t, name, "", j),
				controlled(t, "mean", "", j)
			for _, c := range []struct{ got, along, long []float64 }{{norm, mean, own}, {direction, own, mean}} {
				cos := jac.Dot(c.got, c.along) / jac.Length(c.got) / jac.Length(c.along)
				if math.Abs(cos-1) > 1e-9 || math.Abs(jac.Length(c.got)/jac.Length(c.long)-1) > 1e-9 {
					t.Errorf("%s, seed %d: cosine %g, length %g of %g", name, seed, cos, jac.Length(c.got), jac.Length(c.long))
				}
			}
		}
	}
	opposed := jac.Jacobian{{1, 2}, {-1, -2}}
	if d := controlled(t, "mgda", "direction", opposed); d[0] != 0 || d[1] != 0 {
		t.Errorf("of a method that returns 0: %v", d)
	}
	for _, name := range []string{"famo", "mean", "graddrop"} {
		m, err := moo.New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := moo.Wrap(m, moo.Wrapping{Control: "norm"}); err == nil {
			t.Errorf("%s has a control", name)
		}
	}
	if _, err := moo.Control(shortest{}, "length"); err == nil {
		t.Error("an unknown control is taken")
	}
}

func controlled(t *testing.T, name, kind string, j jac.Jacobian) []float64 {
	t.Helper()
	m, err := moo.New(name, moo.ForTraining(name, nil))
	if err == nil {
		m, err = moo.Wrap(m, moo.Wrapping{Control: kind})
	}
	if err != nil {
		t.Fatal(err)
	}
	r, err := moo.Solve(m, moo.Input{G: j.Gram(), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return j.Combine(r.Weights)
}

// TestTokenMean: weights are the step's tokens, and not the sizes of the data.
func TestTokenMean(t *testing.T) {
	m, err := moo.New("token-mean", nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := moo.Solve(m, moo.Input{Tokens: []float64{9, 9, 9}, StepTokens: []float64{1, 3, 0}})
	if err != nil || !slices.Equal(r.Weights, []float64{0.25, 0.75, 0}) {
		t.Errorf("%v, %v", r.Weights, err)
	}
	if _, err := moo.Solve(m, moo.Input{Preference: []float64{1, 1}}); err == nil {
		t.Error("no tokens, and no error")
	}
}

// TestRandomByBucket: weights differ by bucket and step, and are the same again.
func TestRandomByBucket(t *testing.T) {
	m, err := moo.New("random", nil)
	if err != nil {
		t.Fatal(err)
	}
	mean := make([]float64, 3)
	seen := map[string]bool{}
	for bucket := range 2000 {
		r, err := moo.Solve(m, moo.Input{G: mat.NewSymDense(3, []float64{1, 0, 0, 0, 1, 0, 0, 0, 1}), Seed: 5, Step: int64(bucket % 7),
			Bucket: bucket})
		if err != nil {
			t.Fatal(err)
		}
		seen[fmt.Sprint(r.Weights)] = true
		for i, w := range r.Weights {
			mean[i] += w / 2000
		}
	}
	for _, x := range mean { // standard error √(1/18/2000) = 0.0053
		if len(seen) != 2000 || math.Abs(x-1.0/3) > 0.025 {
			t.Errorf("%d different weights, mean %v", len(seen), mean)
		}
	}
}

// shortest follows the gradient with the shortest norm alone: a method of a
// user's own.
type shortest struct{}

func (shortest) Name() string { return "shortest" }

func (shortest) Weights(in moo.Input) (moo.Result, error) {
	w := make([]float64, in.G.SymmetricDim())
	best := 0
	for i := range w {
		if in.G.At(i, i) < in.G.At(best, best) {
			best = i
		}
	}
	w[best] = 1
	return moo.Result{Weights: w}, nil
}

func TestOwnMethod(t *testing.T) {
	mootest.Run(t, shortest{}, props{IdenticalRows: true, Simplex: true, PermutationInvariant: true})
}

// A method is anything that turns a Gram into weights; Solve takes care of zero,
// damaged and single gradients and of the scale.
func ExampleSolve() {
	g := mat.NewSymDense(3, []float64{4, -1, 0, -1, 1, 0, 0, 0, 0}) // the third gradient is zero
	r, err := moo.Solve(shortest{}, moo.Input{G: g})
	fmt.Println(r.Weights, err)
	// Output: [0 1 0] <nil>
}

func TestMethodsAreListedOnce(t *testing.T) {
	var names []string
	for _, m := range moo.Methods() {
		if slices.Contains(names, m.Name) {
			t.Errorf("%s is registered twice", m.Name)
		}
		names = append(names, m.Name)
	}
}
