package moo

// modo: λ ← Π(λ − γ (G + ρI) λ), one step of projected gradient on the simplex per
// training step, from where the last one ended; w = λ. It follows mgda's weights over
// the steps instead of solving for them in each.
//
// Paper: Chen et al., Three-Way Trade-Off in Multi-Objective Learning, NeurIPS 2023
// (arXiv:2305.20057), Algorithm 1. The paper takes J₁ᵀJ₂ of two independent batches in
// place of G, so that noise adds nothing to the diagonal on average; objective.noise with
// halves and debias does the same with two halves of one batch. Departure: G is scaled to
// a mean squared norm of 1, so that γ has no unit. Options: gamma γ (default 0.1), rho ρ
// (default 0). The preference is the start, not a goal. Equal gradients give back that
// gradient. MoCo (Fernando et al. 2023, arXiv:2210.12624) tracks each objective's gradient
// over the steps, which would take M copies of the parameters: it is not offered.
// Guarantees: none in a single step; over many steps with a small γ it approaches mgda.
type modo struct{ gamma, rho float64 }

func modoEntry() entry {
	return entry{
		Info: Info{
			Name: "modo", Needs: NeedsGram, UsesPreference: true,
			Rule:       "λ ← Π(λ − γ (G + ρI) λ) on the simplex, G with a mean squared norm of 1; w = λ",
			Paper:      "Chen et al. 2023, arXiv:2305.20057",
			Guarantees: "approaches mgda over the steps; may oppose single objectives in a step; the preference is only the start",
			Options: []Option{
				{Name: "gamma", Default: 0.1, Min: 0, Max: 100, Doc: "step size γ of the weights"},
				{Name: "rho", Default: 0.0, Min: 0, Max: 100, Doc: "ρ, which pulls the weights together"},
			},
		},
		build: func(v values) (Method, error) { return modo{v.number("gamma"), v.number("rho")}, nil },
	}
}

func (modo) Name() string { return "modo" }

func (m modo) Weights(in Input) (Result, error) {
	g := meanSquareOne(dense(in.G))
	w, s := keptWeights(in, "modo")
	h := mulVec(g, w)
	for i := range w {
		w[i] -= m.gamma * (h[i] + m.rho*w[i])
	}
	w = ontoSimplex(w)
	s.Objective["modo"] = w
	return Result{Weights: w, State: s}, nil
}
