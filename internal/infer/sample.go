package infer

import (
	"cmp"
	"math"
	"slices"
)

// sample draws a token: the likeliest at temperature 0, else from the smallest
// set of tokens with probability top-p. The randomness is a function of (seed,
// step) alone. Ties go to the lower id.
func sample(logits []float32, g Generation, step int) uint32 {
	order := make([]int, len(logits))
	for i := range order {
		order[i] = i
	}
	if g.Temperature == 0 {
		return uint32(slices.MaxFunc(order, func(a, b int) int {
			return cmp.Or(cmp.Compare(logits[a], logits[b]), cmp.Compare(b, a))
		}))
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(logits[b], logits[a]), cmp.Compare(a, b))
	})
	p := make([]float64, len(order))
	sum := 0.0
	for i, id := range order {
		p[i] = math.Exp((float64(logits[id]) - float64(logits[order[0]])) / g.Temperature)
		sum += p[i]
	}
	kept, n := 0.0, 0
	for n < len(p) && (n == 0 || kept < g.TopP*sum) {
		kept += p[n]
		n++
	}
	u := uniform(g.Seed, uint64(step)) * kept
	for i := range n {
		if u -= p[i]; u < 0 {
			return uint32(order[i])
		}
	}
	return uint32(order[n-1])
}

// uniform is the step-th number in [0, 1) of the sequence keyed by seed
// (splitmix64: Steele, Lea, Flood, OOPSLA 2014).
func uniform(seed, step uint64) float64 {
	z := seed + (step+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
