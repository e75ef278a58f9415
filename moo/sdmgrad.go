package moo

// sdmgrad: steps of projected gradient on the simplex, w ← Π(w − β (G w + λ G u)), from
// where the last training step ended; the weights are (w + λu)/(1 + λ). It minimises
// ½|Jᵀw + λJᵀu|²: mgda that is pulled towards the mean gradient.
//
// Paper: Xiao, Ban and Ji, Direction-oriented Multi-objective Learning, NeurIPS 2023
// (arXiv:2305.18409), Algorithm 1. The paper takes two independent batches for the two
// factors of G; objective.noise with halves and debias does the same with two halves of
// one batch. Departure: G is scaled to a mean squared norm of 1, so that β has no unit.
// Options: lambda λ (default 0.3), beta β (default 0.5), steps (default 20). With λ = 0
// and many steps it is mgda; with λ → ∞ it is mean. Equal gradients give back that gradient.
// Guarantees: none in a single step; the gradient left after the steps is the diagnostic
// "kkt_residual".
type sdmgrad struct {
	lambda, beta float64
	steps        int
}

func sdmgradEntry() entry {
	return entry{
		Info: Info{
			Name: "sdmgrad", Needs: NeedsGram, UsesPreference: true,
			Rule:       "w ← Π(w − β (G w + λ G u)) on the simplex, several times; weights (w + λu)/(1 + λ)",
			Paper:      "Xiao, Ban and Ji 2023, arXiv:2305.18409",
			Guarantees: "lies between mgda and mean; may oppose single objectives",
			Options: []Option{
				{Name: "lambda", Default: 0.3, Min: 0, Max: 1e6, Doc: "λ, the pull towards the mean gradient"},
				{Name: "beta", Default: 0.5, Min: 0, Max: 100, Doc: "step size β of the weights"},
				{Name: "steps", Default: 20.0, Integer: true, Min: 1, Max: 10000, Doc: "steps of the weights in one of training"},
			},
		},
		build: func(v values) (Method, error) {
			return sdmgrad{v.number("lambda"), v.number("beta"), int(v.number("steps"))}, nil
		},
	}
}

func (sdmgrad) Name() string { return "sdmgrad" }

func (m sdmgrad) Weights(in Input) (Result, error) {
	g := meanSquareOne(dense(in.G))
	pull := scale(mulVec(g, in.Preference), m.lambda)
	w, s := keptWeights(in, "sdmgrad")
	for range m.steps {
		h := mulVec(g, w)
		for i := range w {
			w[i] -= m.beta * (h[i] + pull[i])
		}
		w = ontoSimplex(w)
	}
	s.Objective["sdmgrad"] = w
	h, least := mulVec(g, w), 0.0
	for i := range h {
		h[i] += pull[i]
		if i == 0 || h[i] < least {
			least = h[i]
		}
	}
	out := make([]float64, len(w))
	for i, u := range in.Preference {
		out[i] = (w[i] + m.lambda*u) / (1 + m.lambda)
	}
	return Result{Weights: out, Diagnostics: map[string]float64{"kkt_residual": max(0, dot(w, h)-least)}, State: s}, nil
}
