package moo

import (
	"errors"
	"slices"
)

// dbMTL: w_m = M u_m max|y|/(|y_m| L_m), y_m = g_m/L_m the gradient of log L_m:
// losses are balanced by their logarithm, gradients to the length of the longest.
//
// Paper: Lin et al., Dual-Balancing for Multi-Task Learning (arXiv:2308.12029),
// without its running mean of gradients (β = 0), which would take M gradients of
// memory. Option rescale: "none" is the paper's sum, "mean" scales the weights to
// sum to one. Needs the losses.
// Guarantees: all objectives' parts of d have one length; may oppose single
// objectives.
type dbMTL struct{ mean bool }

func dbMTLEntry() entry {
	return entry{
		Info: Info{
			Name: "db-mtl", Needs: NeedsGram, UsesLosses: true, UsesPreference: true, Rule: "w_m = M u_m max|y|/(|y_m| L_m), y_m = g_m/L_m",
			Paper:      "Lin et al. 2023, arXiv:2308.12029 (β = 0)",
			Guarantees: "all objectives pull with one length; may oppose single objectives",
			Options:    []Option{rescaleOption("scales the weights to sum to one")},
		},
		build: func(v values) (Method, error) { return dbMTL{v.word(rescaleName) == rescaleMean}, nil },
	}
}

func (dbMTL) Name() string { return "db-mtl" }

// errNeedsLosses is for Gram methods that look at the losses too.
var errNeedsLosses = errors.New("needs the objectives' losses, numbers above 0 (losses)")

func (m dbMTL) Weights(in Input) (Result, error) {
	l, ok := in.knownLosses()
	if !ok {
		return Result{}, errNeedsLosses
	}
	n := len(l)
	w, y := make([]float64, n), make([]float64, n)
	for i := range y {
		y[i] = root(in.G.At(i, i)) / l[i]
	}
	top := slices.Max(y)
	for i := range w {
		w[i] = float64(n) * in.Preference[i] * (top / y[i]) / l[i]
	}
	if m.mean {
		w = unitSum(w)
	}
	return Result{Weights: w}, nil
}
