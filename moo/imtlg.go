package moo

import "math"

// imtlG: w = v/(1ᵀv), v = G⁺(M u ⊙ n), n the gradients' norms: d has the same
// projection on every gradient's direction, in proportion to the preference.
//
// Paper: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021. The
// pseudo-inverse has float32's tolerance. No
// hyper-parameters. Equal gradients give back that gradient. Where 1ᵀv vanishes,
// there is no such direction and the weights are 0.
// Guarantees: equal projections where the gradients are independent; weights may
// be negative and d may ascend objectives (rows 1 and −2 in one dimension give
// −5). Direction invariant to the scaling of single gradients and to
// permutation.
type imtlG struct{}

func imtlGEntry() entry {
	return entry{
		Info: Info{
			Name: "imtl-g", Needs: NeedsGram, UsesPreference: true, Rule: "w = v/(1ᵀv), v = G⁺(M u ⊙ n), n = √diag G",
			Paper:      "Liu et al. 2021 (IMTL, ICLR)",
			Guarantees: "equal projections on independent gradients; weights may be negative and d may oppose objectives",
		},
		build: func(values) (Method, error) { return imtlG{}, nil },
	}
}

func (imtlG) Name() string { return "imtl-g" }

func (imtlG) Weights(in Input) (Result, error) {
	n := in.G.SymmetricDim()
	s, err := newSpectrum(dense(in.G))
	if err != nil {
		return Result{}, err
	}
	want := make([]float64, n)
	for i, u := range in.Preference {
		want[i] = float64(n) * u * root(in.G.At(i, i))
	}
	v, ok := s.inverse(want)
	if !ok {
		return Result{Weights: make([]float64, n)}, nil
	}
	total, size := 0.0, 0.0
	for i := range v {
		total += v[i]
		size += math.Abs(v[i])
	}
	if math.Abs(total) <= float64(len(v))*epsilon32*size { // cancels
		return Result{Weights: make([]float64, len(v))}, nil
	}
	return Result{Weights: scale(v, 1/total)}, nil
}

// scale is f x.
func scale(x []float64, f float64) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = f * v
	}
	return out
}

// root is √x, 0 where rounding made x negative.
func root(x float64) float64 { return math.Sqrt(math.Max(0, x)) }
