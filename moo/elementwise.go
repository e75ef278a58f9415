package moo

import (
	"errors"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// errNeedsRows is the answer of the element-wise methods to a Gram.
var errNeedsRows = errors.New("works element by element: it needs the gradients themselves, not their Gram (CombineRows)")

// graddrop: element by element, either the positive or the negative values pass:
// with P = ½(1 + Σg/Σ|g|) and a draw U in [0, 1), the positive ones where P > U.
// d = (1/M) Σ (leak·g_m + (1−leak)·the part of g_m that passes).
//
// Paper: Chen et al., Just Pick a Sign (GradDrop), NeurIPS 2020
// (arXiv:2010.06808), which adds the rows up; here d is on the scale of a mean.
// Option leak (default 0; 1 is mean). The preference is not used. Equal gradients
// give back that gradient.
// Guarantees: no element moves against the sign that was drawn; may oppose single
// objectives; not a function of the Gram.
type graddrop struct{ leak float64 }

func graddropEntry() entry {
	return entry{
		Info: Info{
			Name: "graddrop", Needs: NeedsRows,
			Rule:       "per element: pass the positive values where ½(1 + Σg/Σ|g|) > U, else the negative ones; d = their mean",
			Paper:      "Chen et al. 2020, arXiv:2010.06808",
			Guarantees: "in every element all values that pass agree in sign; may oppose single objectives; ignores the preference",
			Options: []Option{{Name: "leak", Default: 0.0, Min: 0, Max: 1,
				Doc: "share of the values of the other sign that passes too; 1 is mean"}},
		},
		build: func(v values) (Method, error) { return graddrop{v.number("leak")}, nil },
	}
}

func (graddrop) Name() string                  { return "graddrop" }
func (graddrop) Weights(Input) (Result, error) { return Result{}, errNeedsRows }

// Rule implements Elementwise.
func (g graddrop) Rule() ElementRule { return ElementRule{Kind: GradDrop, Leak: g.leak} }

// trimmedMean: element by element the mean of the values without the trim
// largest and the trim smallest.
//
// Paper: Yin et al., Byzantine-Robust Distributed Learning, ICML 2018
// (arXiv:1803.01498). Option trim (default 1), lowered so that a value is left.
// The preference is not used. Equal gradients give back that gradient.
// Guarantees: up to trim objectives, however wild, move d only within the range
// of the others' values; may oppose single objectives.
type trimmedMean struct{ trim int }

func trimmedMeanEntry() entry {
	return entry{
		Info: Info{
			Name: "trimmed-mean", Needs: NeedsRows, Rule: "per element: mean of the values without the trim largest and smallest",
			Paper:      "Yin et al. 2018, arXiv:1803.01498",
			Guarantees: "robust against trim outliers per element; invariant to permutation; may oppose single objectives; ignores the preference",
			Options:    []Option{{Name: "trim", Default: 1.0, Integer: true, Min: 0, Max: 31, Doc: "values left out at either end"}},
		},
		build: func(v values) (Method, error) { return trimmedMean{int(v.number("trim"))}, nil },
	}
}

func (trimmedMean) Name() string                  { return "trimmed-mean" }
func (trimmedMean) Weights(Input) (Result, error) { return Result{}, errNeedsRows }

// Rule implements Elementwise.
func (t trimmedMean) Rule() ElementRule { return ElementRule{Kind: TrimmedMean, Trim: t.trim} }

// ElementKey keys the draws of one bucket in one step.
func ElementKey(seed uint64, step int64, bucket int) [2]uint32 {
	k := mix(mix(mix(seed)+uint64(step)) + uint64(bucket))
	return [2]uint32{uint32(k), uint32(k >> 32)}
}

// ElementDraw is the draw in [0, 1) of element index under key: two rounds of
// PCG's output permutation (O'Neill 2014; Jarzynski and Olano, JCGT 2020), whose
// 32-bit arithmetic a shader repeats bit for bit.
func ElementDraw(key [2]uint32, index uint32) float32 {
	return float32(pcg(pcg(index^key[0])+key[1])>>8) * 0x1p-24
}

func pcg(x uint32) uint32 {
	s := x*747796405 + 2891336453
	w := ((s >> ((s >> 28) + 4)) ^ s) * 277803737
	return (w >> 22) ^ w
}

// CombineRows is m's combined gradient of explicit rows, (M, N): by the Gram for
// most methods, element by element for Elementwise ones. in.G is not looked at.
// Rows that are zero or not finite are left out, as in Solve.
func CombineRows(m Method, rows [][]float64, in Input) ([]float64, error) {
	n := len(rows)
	if n == 0 {
		return nil, errors.New("moo: no rows")
	}
	in.G = mat.NewSymDense(n, nil)
	for i := range rows {
		if len(rows[i]) != len(rows[0]) {
			return nil, errors.New("moo: rows of different lengths")
		}
		for j := range i + 1 {
			in.G.SetSym(i, j, dot(rows[i], rows[j]))
		}
	}
	if e, ok := m.(Elementwise); ok {
		active, _, err := activeRows(in.G)
		if err != nil {
			return nil, err
		}
		return e.Rule().combine(rows, active, ElementKey(in.Seed, in.Step, in.Bucket)), nil
	}
	r, err := Solve(m, in)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(rows[0]))
	for i, w := range r.Weights {
		if w != 0 {
			for k, g := range rows[i] {
				out[k] += w * g
			}
		}
	}
	return out, nil
}

// combine is the rule on the active rows.
func (r ElementRule) combine(rows [][]float64, active []int, key [2]uint32) []float64 {
	out := make([]float64, len(rows[0]))
	if len(active) == 0 {
		return out
	}
	values := make([]float64, len(active))
	for k := range out {
		for i, m := range active {
			values[i] = rows[m][k]
		}
		if r.Kind == GradDrop {
			out[k] = r.drop(values, ElementDraw(key, uint32(k)))
		} else {
			out[k] = r.trimmed(values)
		}
	}
	return out
}

func (r ElementRule) drop(values []float64, draw float32) float64 {
	positive, negative := 0.0, 0.0
	for _, g := range values {
		positive += math.Max(g, 0)
		negative += math.Min(g, 0)
	}
	if positive == negative { // both 0
		return 0
	}
	kept := negative
	if 0.5*(1+(positive+negative)/(positive-negative)) > float64(draw) {
		kept = positive
	}
	return (r.Leak*(positive+negative) + (1-r.Leak)*kept) / float64(len(values))
}

func (r ElementRule) trimmed(values []float64) float64 {
	slices.Sort(values)
	trim := min(r.Trim, (len(values)-1)/2)
	sum := 0.0
	for _, v := range values[trim : len(values)-trim] {
		sum += v
	}
	return sum / float64(len(values)-2*trim)
}
