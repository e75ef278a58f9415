package moo

import "math/bits"

// pcgrad: w = Σ_i M u_i c^i, where g_i^PC = Jᵀ c^i is g_i with its conflicts
// projected out one after the other: start at c = e_i; for each j ≠ i in the
// chosen order, with s = ⟨g_i^PC, g_j⟩ = (G c)_j, if s < 0 then
// c_j ← c_j − s/G_jj, which removes the part of g_i^PC along g_j.
//
// Paper: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020
// (arXiv:2001.06782), Algorithm 1, which visits the objectives in random order
// and adds up the results; other implementations take the mean.
// Options: order = "random" (default; keyed by seed, step, bucket and i, so that
// every machine draws the same), "ascending" or "descending"; rescale.
// Guarantees: for M = 2, d is non-conflicting (and equals upgrad's with
// preference 1); for M ≥ 3 a later projection can undo an earlier one, so d may
// still oppose an objective. Depends on the order, so it is not invariant to
// permutations of the objectives.
type pcgrad struct {
	order string
	scale bool // divide by M
}

func pcgradEntry() entry {
	return entry{
		Info: Info{
			Name: "pcgrad", Needs: NeedsGram, UsesPreference: true,
			Rule:       "w = Σ_i M u_i c^i; c = e_i, then for j ≠ i in order: where s = (G c)_j < 0, c_j −= s/G_jj",
			Paper:      "Yu et al. 2020, arXiv:2001.06782",
			Guarantees: "non-conflicting for two objectives; with three or more d may still oppose one; depends on the order",
			Options: []Option{
				{Name: "order", Default: "random", Choices: []string{"random", "ascending", "descending"},
					Doc: "in which the others are projected out; random is keyed by seed, step, bucket and objective"},
				rescaleOption("divides by M"),
			},
		},
		build: func(v values) (Method, error) {
			return pcgrad{v.word("order"), v.word(rescaleName) == rescaleMean}, nil
		},
	}
}

func (pcgrad) Name() string { return "pcgrad" }

func (p pcgrad) Weights(in Input) (Result, error) {
	m := in.G.SymmetricDim()
	scale := float64(m)
	if p.scale {
		scale = 1
	}
	var (
		w           = make([]float64, m)
		c, gc       = make([]float64, m), make([]float64, m)
		order       = make([]int, m)
		projections int
	)
	for i := range m {
		for j := range m {
			c[j], gc[j], order[j] = 0, in.G.At(j, i), j
		}
		c[i] = 1
		p.arrange(order, in, i)
		for _, j := range order {
			if j == i || gc[j] >= 0 {
				continue
			}
			projections++
			a := gc[j] / in.G.At(j, j)
			c[j] -= a
			for k := range m {
				gc[k] -= a * in.G.At(k, j)
			}
		}
		for j := range m {
			w[j] += scale * in.Preference[i] * c[j]
		}
	}
	return Result{Weights: w, Diagnostics: map[string]float64{"projections": float64(projections)}}, nil
}

// arrange puts 0 … M−1 into the order in which objective i meets the others.
func (p pcgrad) arrange(order []int, in Input, i int) {
	m := len(order)
	switch p.order {
	case "descending":
		for j := range m {
			order[j] = m - 1 - j
		}
	case "random":
		key := mix(mix(mix(mix(in.Seed)+uint64(in.Step))+uint64(in.Bucket)) + uint64(i))
		for j := m - 1; j > 0; j-- { // Fisher and Yates
			key = mix(key)
			k, _ := bits.Mul64(key, uint64(j+1)) // in [0, j]; biased by less than M/2⁶⁴
			order[j], order[k] = order[k], order[j]
		}
	}
}

// mix is one step of SplitMix64 (Steele et al. 2014): a bijection of 64 bits
// that passes statistical tests as a counter-based generator.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
