package moo

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func sym(rows ...[]float64) *mat.SymDense {
	g := mat.NewSymDense(len(rows), nil)
	for i, row := range rows {
		for j, x := range row[:i+1] {
			g.SetSym(i, j, x)
		}
	}
	return g
}

// full gives an input the losses and sizes that some methods ask for.
func full(in Input) Input {
	n := in.G.SymmetricDim()
	in.Losses, in.Tokens = slices.Repeat([]float64{2}, n), slices.Repeat([]float64{100}, n)
	return in
}

func TestSolveEdges(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	cases := []struct {
		name         string
		g            *mat.SymDense
		want         []float64 // of mean
		masked, zero float64
	}{
		{"all zero", sym([]float64{0}, []float64{0, 0}), []float64{0, 0}, 0, 2},
		{"single", sym([]float64{25}), []float64{1}, 0, 0},
		{"zero row", sym([]float64{5}, []float64{0, 0}, []float64{2, 0, 2}), []float64{.5, 0, .5}, 0, 1},
		{"one left", sym([]float64{0}, []float64{0, 4}), []float64{0, 1}, 0, 1},
		{"NaN row", sym([]float64{1}, []float64{nan, nan}, []float64{0, nan, 1}), []float64{.5, 0, .5}, 1, 0},
		{"Inf row", sym([]float64{1}, []float64{-inf, inf}, []float64{0, 3, 1}), []float64{.5, 0, .5}, 1, 0},
		{"NaN off the diagonal", sym([]float64{1}, []float64{nan, 1}, []float64{0, nan, 1}), []float64{.5, 0, .5}, 1, 0},
		{"NaN in a pair", sym([]float64{1}, []float64{nan, 1}), []float64{0, 0}, 2, 0},
		{"all NaN", sym([]float64{nan}, []float64{nan, nan}), []float64{0, 0}, 2, 0},
		{"huge", sym([]float64{1e308}, []float64{-1e308, 1e308}), []float64{.5, .5}, 0, 0},
		{"tiny", sym([]float64{1e-320}, []float64{-1e-320, 1e-320}), []float64{.5, .5}, 0, 0},
		{"huge and tiny", sym([]float64{1e300}, []float64{0, 1e-300}), []float64{1, 0}, 0, 1},
	}
	for _, c := range cases {
		for _, info := range Methods() {
			if info.Needs == NeedsRows {
				continue
			}
			r, err := Solve(must(t, info.Name, nil), full(Input{G: c.g}))
			if err != nil {
				t.Errorf("%s %s: %v", c.name, info.Name, err)
				continue
			}
			if info.Name == "mean" && !slices.Equal(r.Weights, c.want) {
				t.Errorf("%s: weights %v, want %v", c.name, r.Weights, c.want)
			}
			for i, w := range r.Weights {
				// of gradients that cancel, or with nothing to add to the primary
				zero := w == 0 && slices.Contains([]string{"mgda", "imtl-g", "aligned-mtl", "config", "pcd"}, info.Name)
				if !finite(w) || (c.want[i] == 0) != (w == 0) && !zero || c.want[i] == 1 && w != 1 {
					t.Errorf("%s %s: weights %v, want active as in %v", c.name, info.Name, r.Weights, c.want)
				}
			}
			if r.Diagnostics["masked"] != c.masked || r.Diagnostics["zero"] != c.zero {
				t.Errorf("%s %s: diagnostics %v, want masked %v zero %v", c.name, info.Name, r.Diagnostics, c.masked, c.zero)
			}
		}
	}
}

func TestSolvePreference(t *testing.T) {
	g := sym([]float64{1}, []float64{0, 0}, []float64{0, 0, 1})
	r, err := Solve(must(t, "mean", nil), Input{G: g, Preference: []float64{1, 2, 3}})
	if err != nil || !slices.Equal(r.Weights, []float64{.25, 0, .75}) {
		t.Errorf("preference over the active: %v %v", r.Weights, err)
	}
	r, err = Solve(must(t, "upgrad", nil), Input{G: g, Preference: []float64{1, 2, 3}})
	if err != nil || !slices.Equal(r.Weights, []float64{.25, 0, .75}) {
		t.Errorf("upgrad without conflict: %v %v", r.Weights, err)
	}
	static := must(t, "static", map[string]any{"weights": []any{0.0, 1.0, int64(2)}})
	r, err = Solve(static, Input{G: g})
	if err != nil || !slices.Equal(r.Weights, []float64{0, 0, 1}) {
		t.Errorf("static: %v %v", r.Weights, err)
	}
	static = must(t, "static", map[string]any{"weights": "0, 1, 0"})
	for _, g := range []*mat.SymDense{g, sym([]float64{1}, []float64{0, 0}, []float64{0, 0, 0})} {
		if r, err = Solve(static, Input{G: g}); err != nil || !slices.Equal(r.Weights, []float64{0, 0, 0}) {
			t.Errorf("static without a say: %v %v", r.Weights, err)
		}
	}
}

func TestSolveErrors(t *testing.T) {
	two := sym([]float64{1}, []float64{0, 1})
	static := must(t, "static", map[string]any{"weights": []float64{1, 2, 3}})
	mean := must(t, "mean", nil)
	for want, in := range map[string]struct {
		m  Method
		in Input
	}{
		"how many":          {mean, Input{}},
		"empty":             {must(t, "mgda", nil), Input{Losses: []float64{1, 1}}},
		"not a Gram matrix": {mean, Input{G: sym([]float64{1}, []float64{0, -1})}},
		"1 losses for 2":    {mean, Input{G: two, Losses: []float64{1}}},
		"preference of 3":   {mean, Input{G: two, Preference: []float64{1, 1, 1}}},
		"want a number":     {mean, Input{G: two, Preference: []float64{1, math.NaN()}}},
		"3 weights for 2":   {static, Input{G: two}},
		"returned weight":   {broken{math.Inf(1)}, Input{G: two}},
	} {
		if _, err := Solve(in.m, in.in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// broken returns the same value for every objective.
type broken struct{ x float64 }

func (broken) Name() string { return "broken" }
func (b broken) Weights(in Input) (Result, error) {
	return Result{Weights: slices.Repeat([]float64{b.x}, in.G.SymmetricDim())}, nil
}

// TestSolveFloat32 rounds singular Grams to float32, which makes many of them
// indefinite, and wants vectors close to the exact ones.
func TestSolveFloat32(t *testing.T) {
	repaired := 0
	for seed := range uint64(100) {
		j := lowRank(rng(seed), 8, 9, 3)
		exact := j.Gram()
		rounded := mat.NewSymDense(8, nil)
		for a := range 8 {
			for b := range a + 1 {
				rounded.SetSym(a, b, float64(float32(exact.At(a, b))))
			}
		}
		for _, name := range []string{"mgda", "upgrad", "cagrad"} {
			m := must(t, name, nil)
			want, w := direction(t, m, j)
			r, err := Solve(m, Input{G: rounded})
			if err != nil {
				t.Fatal(err)
			}
			if r.Diagnostics["repaired"] > 0 {
				repaired++
			}
			got := j.Combine(r.Weights)
			for i := range got {
				got[i] -= want[i]
			}
			if length(got) > 1e-2*size(j, w) {
				t.Errorf("%s seed %d: off by %g of %g", name, seed, length(got), size(j, w))
			}
		}
	}
	if repaired == 0 {
		t.Error("no Gram was repaired")
	}
}

// FuzzSolve feeds Grams of all kinds and any symmetric matrix to every method.
func FuzzSolve(f *testing.F) {
	for seed := range uint64(400) {
		f.Add(seed, []byte{})
	}
	f.Add(uint64(1), binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN())))
	f.Fuzz(func(t *testing.T, seed uint64, raw []byte) {
		g := adversarial(seed)
		n := g.SymmetricDim()
		for k := 0; len(raw) >= 8; k++ { // overwrite entries by any bits
			i := k % n
			g.SetSym(i, (k/n)%n, math.Float64frombits(binary.LittleEndian.Uint64(raw)))
			raw = raw[8:]
		}
		for i := range n {
			if g.At(i, i) < 0 {
				g.SetSym(i, i, -g.At(i, i))
			}
		}
		for _, info := range Methods() {
			if info.Needs == NeedsRows {
				continue
			}
			for _, c := range []string{"0.5", "3"} {
				options := map[string]any{}
				if info.Name == "cagrad" {
					options["c"] = c
				}
				r, err := Solve(must(t, info.Name, options), full(Input{G: g, Seed: seed}))
				if err != nil {
					t.Fatalf("%s: %v\n%v", info.Name, err, mat.Formatted(g))
				}
				if !allFinite(r.Weights) {
					t.Fatalf("%s: %v", info.Name, r.Weights)
				}
				for name, x := range r.Diagnostics {
					if !finite(x) {
						t.Fatalf("%s: diagnostic %s = %v", info.Name, name, x)
					}
				}
			}
		}
	})
}

// adversarial draws a Gram with duplicates, opposites, near duplicates, zero
// rows, extreme scales and float32 rounding.
func adversarial(seed uint64) *mat.SymDense {
	r := rng(seed)
	m := 1 + r.IntN(10)
	j := lowRank(r, m, 1+r.IntN(12), r.IntN(m)+1)
	for i := range j {
		k := r.IntN(m)
		switch r.IntN(8) {
		case 0:
			j[i] = slices.Clone(j[k])
		case 1:
			j[i] = jacobian{j[k]}.Scale(-1)[0]
		case 2:
			j[i] = jacobian{j[k]}.Scale(-1 - r.Float64())[0]
			j[i][0] += 1e-9 * r.NormFloat64()
		case 3:
			clear(j[i])
		case 4:
			j[i] = jacobian{j[i]}.Scale(math.Pow(10, 60*r.Float64()-30))[0]
		case 5:
			j[i] = jacobian{j[k]}.Scale(math.Pow(10, 20*r.Float64()-10))[0]
		}
	}
	g := j.Scale(math.Pow(10, 200*r.Float64()-100)).Gram()
	if r.IntN(2) == 0 {
		for a := range m {
			for b := range a + 1 {
				noise := 1 + 1e-7*r.NormFloat64()
				g.SetSym(a, b, noise*g.At(a, b))
			}
		}
	}
	return g
}

func TestConflicts(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		g    *mat.SymDense
		want Stats
	}{
		{sym([]float64{4}), Stats{}},
		{sym([]float64{4}, []float64{-3, 9}, []float64{1, 0, 1}), Stats{3, 1, -0.5}},
		{sym([]float64{4}, []float64{2, 4}), Stats{1, 0, 0.5}},
		{sym([]float64{4}, []float64{0, 0}, []float64{-1, 0, 1}), Stats{1, 1, -0.5}},
		{sym([]float64{4}, []float64{nan, nan}, []float64{-1, nan, 1}), Stats{1, 1, -0.5}},
		{sym([]float64{1e300}, []float64{-1, 1e-300}), Stats{1, 1, -1}},
		{sym([]float64{1e-300}, []float64{-5e-301, 1e-300}), Stats{1, 1, -0.5}},
	} {
		got := Conflicts(c.g)
		if math.Abs(got.MinCosine-c.want.MinCosine) < 1e-15 {
			got.MinCosine = c.want.MinCosine
		}
		if got != c.want {
			t.Errorf("%v: %+v, want %+v", mat.Formatted(c.g), got, c.want)
		}
	}
}

// TestAdversarial: on Grams with noise of 10⁻⁷, as float32 leaves it, the
// non-conflicting methods stay so up to that noise, and no weighted gradient
// exceeds the longest one by more than the search of cagrad allows.
func TestAdversarial(t *testing.T) {
	for seed := range uint64(1000) {
		g := adversarial(seed)
		longest := 0.0
		for i := range g.SymmetricDim() {
			longest = max(longest, math.Sqrt(g.At(i, i)))
		}
		for name, options := range map[string]map[string]any{"mgda": nil, "upgrad": nil, "cagrad": {"c": 3.0}} {
			r, err := Solve(must(t, name, options), Input{G: g})
			if err != nil {
				t.Fatal(err)
			}
			size := 0.0
			for k, w := range r.Weights {
				size += math.Abs(w) * math.Sqrt(g.At(k, k))
			}
			if size > 1e9*longest {
				t.Errorf("seed %d %s: Σ w|g| is %g times the longest gradient", seed, name, size/longest)
			}
			for i, x := range symMulVec(g, r.Weights) {
				if r.Weights[i] != 0 && x < -1e-6*math.Sqrt(g.At(i, i))*size {
					t.Errorf("seed %d %s: conflict %g of objective %d", seed, name, x, i)
				}
			}
		}
	}
}
