package moo

import "math"

// mgda: w = argmin over the simplex of wᵀG w: d is the point of the convex hull
// of the gradients nearest to the origin.
//
// Paper: Désidéri, Multiple-gradient descent algorithm (2012); Sener and Koltun,
// NeurIPS 2018 (arXiv:1810.04650). Solved exactly by Wolfe's method instead of
// the usual Frank–Wolfe iteration. No hyper-parameters; the preference is not
// used. Equal gradients give back that gradient.
// Guarantees: ⟨g_m, d⟩ ≥ |d|² ≥ 0 for every m; d = 0 exactly where the point is
// Pareto stationary. Not linear under scaling: it favours objectives with short
// gradients, and |d| is at most the shortest of them.
type mgda struct{}

func mgdaEntry() entry {
	return entry{
		Info: Info{
			Name: "mgda", Needs: NeedsGram, Rule: "w = argmin over w ≥ 0, Σw = 1 of wᵀG w",
			Paper:      "Désidéri 2012; Sener and Koltun 2018, arXiv:1810.04650",
			Guarantees: "non-conflicting; d = 0 exactly at Pareto-stationary points; follows the shortest gradients; ignores the preference",
		},
		build: func(values) (Method, error) { return mgda{}, nil },
	}
}

func (mgda) Name() string { return "mgda" }

func (mgda) Weights(in Input) (Result, error) {
	g := dense(in.G)
	q := newSimplexQP(g, make([]float64, len(g)))
	w := q.solve()
	gw := mulVec(g, w)
	norm2 := math.Max(0, dot(w, gw))
	residual := 0.0 // of (G w)_m ≥ wᵀG w
	for _, x := range gw {
		residual = math.Max(residual, norm2-x)
	}
	return Result{Weights: w, Diagnostics: map[string]float64{"iterations": float64(q.iterations), "kkt_residual": residual}}, nil
}
