package ref

import "slices"

// ElementDraw is the draw in [0, 1) of element index under key.
func ElementDraw(key [2]uint32, index uint32) float32 {
	h := func(x uint32) uint32 {
		s := x*747796405 + 2891336453
		w := ((s >> ((s >> 28) + 4)) ^ s) * 277803737
		return (w >> 22) ^ w
	}
	return float32(h(h(index^key[0])+key[1])>>8) * 0x1p-24
}

// GradDrop combines the rows in used: row m of n values at rows[m*stride:].
// Element i draws with number base+i.
func GradDrop(out, rows []float32, stride int, used []int, leak float32, key [2]uint32, base uint32) {
	for i := range out {
		var positive, negative float64
		for _, m := range used {
			g := float64(rows[m*stride+i])
			positive += max(g, 0)
			negative += min(g, 0)
		}
		out[i] = 0
		if size := positive - negative; size > 0 {
			kept := negative
			if 0.5*(1+(positive+negative)/size) > float64(ElementDraw(key, base+uint32(i))) {
				kept = positive
			}
			l := float64(leak)
			out[i] = float32((l*(positive+negative) + (1-l)*kept) / float64(len(used)))
		}
	}
}

// TrimmedMean is the mean of the rows in used without the trim smallest and
// largest values of every element.
func TrimmedMean(out, rows []float32, stride int, used []int, trim int) {
	trim = min(trim, (len(used)-1)/2)
	for i := range out {
		var values []float64
		for _, m := range used {
			values = append(values, float64(rows[m*stride+i]))
		}
		slices.Sort(values)
		sum := 0.0
		for _, v := range values[trim : len(values)-trim] {
			sum += v
		}
		out[i] = float32(sum / float64(len(values)-2*trim))
	}
}
