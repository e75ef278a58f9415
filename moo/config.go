package moo

// config: c = N⁻¹ K⁺ (M u), K the gradients' cosines, N their norms: the
// direction with equal cosines to all gradients; w = (1ᵀG c / cᵀG c) c, its
// length the sum of the gradients' projections on it.
//
// Paper: Liu et al., ConFIG: Towards Conflict-free Training of Physics Informed
// Neural Networks, ICLR 2025 (arXiv:2408.11104); in Gram space. Option rescale:
// "none" is the paper's sum, "mean" divides by M, so that equal gradients give
// back that gradient.
// Guarantees: non-conflicting, with equal cosines, where the gradients are
// independent (M at most their rank); invariant to permutation; linear under
// scaling of all gradients.
type config struct{ mean bool }

func configEntry() entry {
	return entry{
		Info: Info{
			Name: "config", Needs: NeedsGram, UsesPreference: true, Rule: "c = N⁻¹ K⁺ (M u), w = (1ᵀG c / cᵀG c) c, K = N⁻¹ G N⁻¹ the cosines",
			Paper:      "Liu et al. 2025, arXiv:2408.11104",
			Guarantees: "non-conflicting with equal cosines for independent gradients; not where they are more than their rank",
			Options:    []Option{rescaleOption("divides by M")},
		},
		build: func(v values) (Method, error) { return config{v.word(rescaleName) == rescaleMean}, nil },
	}
}

func (config) Name() string { return "config" }

func (m config) Weights(in Input) (Result, error) {
	k, norm := cosines(in.G)
	n := len(norm)
	s, err := newSpectrum(k)
	if err != nil {
		return Result{}, err
	}
	x, ok := s.inverse(scale(in.Preference, float64(n))) // c = N⁻¹ x
	if !ok {
		return Result{Weights: make([]float64, n)}, nil
	}
	kx := mulVec(k, x)
	length2 := dot(x, kx)
	if !(length2 > float64(n)*epsilon32*dot(x, x)) { // no such direction
		return Result{Weights: make([]float64, n)}, nil
	}
	factor := dot(norm, kx) / length2 // 1ᵀG c over cᵀG c
	if m.mean {
		factor /= float64(n)
	}
	w := make([]float64, n)
	for i := range w {
		w[i] = factor * x[i] / norm[i]
	}
	return Result{Weights: w}, nil
}
