package moo

import "math"

// imtlG: w = v/(1ᵀv), v = N⁻¹ K⁺ (M u), K the gradients' cosines, N their norms: d has
// the same projection on every gradient's direction, in proportion to the preference.
//
// Paper: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, whose
// v = G⁺ (M u ⊙ n) this is: G = N K N. On the cosines the tolerance of the pseudo-inverse
// (float32's) does not depend on the norms; on G itself the projections were no longer
// equal where norms differed by more than 3,000. No hyper-parameters. Equal gradients
// give back that gradient. Where 1ᵀv vanishes, there is no such direction and the
// weights are 0.
// Guarantees: equal projections where the gradients are independent, at any
// norms; where they are not, equal cosines in the sense of least squares (opposed
// gradients give 0). Weights may be negative and d may ascend objectives. Direction
// invariant to the scaling of single gradients and to permutation.
type imtlG struct{}

func imtlGEntry() entry {
	return entry{
		Info: Info{
			Name: "imtl-g", Needs: NeedsGram, UsesPreference: true, Rule: "w = v/(1ᵀv), v = N⁻¹ K⁺ (M u), K = N⁻¹ G N⁻¹ the cosines",
			Paper:      "Liu et al. 2021 (IMTL, ICLR)",
			Guarantees: "equal projections on independent gradients of any norms; weights may be negative and d may oppose objectives",
		},
		build: func(values) (Method, error) { return imtlG{}, nil },
	}
}

func (imtlG) Name() string { return "imtl-g" }

func (imtlG) Weights(in Input) (Result, error) {
	k, norm := cosines(in.G)
	n := len(norm)
	s, err := newSpectrum(k)
	if err != nil {
		return Result{}, err
	}
	v, ok := s.inverse(scale(in.Preference, float64(n)))
	if !ok {
		return Result{Weights: make([]float64, n)}, nil
	}
	total, size := 0.0, 0.0
	for i := range v {
		v[i] /= norm[i]
		total += v[i]
		size += math.Abs(v[i])
	}
	if math.Abs(total) <= float64(n)*epsilon32*size { // cancels
		return Result{Weights: make([]float64, n)}, nil
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
