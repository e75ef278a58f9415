package ref

import "math"

// Random is 32 random bits for the value at index, as shaders/include/random.wgsl has
// them: two rounds of PCG's output permutation (O'Neill 2014).
func Random(index uint32, key [2]uint32) uint32 { return Mix(Mix(index^key[0]) + key[1]) }

// Mix is one of the rounds.
func Mix(x uint32) uint32 {
	s := x*747796405 + 2891336453
	w := ((s >> (s>>28 + 4)) ^ s) * 277803737
	return w>>22 ^ w
}

// StochasticBF16 is a finite x rounded to bf16, up with the probability that makes the
// mean x, by 16 random bits.
func StochasticBF16(x float32, bits uint32) float32 {
	return math.Float32frombits((math.Float32bits(x) + bits) & 0xffff0000)
}

// DynamicLevel is the value of code k among 2^decades codes: a code of 2^e .. 2^(e+1)-1
// is one of 2^e levels of the decade e-decades, the means of equal parts of 0.1 .. 1
// (Dettmers et al. 2022, section 2.2, without the sign).
func DynamicLevel(k uint32, decades int) float64 {
	if k == 0 {
		return 0
	}
	_, e := math.Frexp(float64(k))
	width := math.Ldexp(1, e-1)
	return math.Pow(10, float64(e-decades)) * (0.1 + 0.9*(float64(k)-width+0.5)/width)
}

// dynamicCode is the code of the level at or below a, or of the next, by chance.
func dynamicCode(a float64, decades int, bits uint32) uint32 {
	top := uint32(1)<<decades - 1
	k := uint32(0)
	for k < top && DynamicLevel(k+1, decades) <= a {
		k++
	}
	if k == top {
		return top
	}
	low := DynamicLevel(k, decades)
	if float64(bits)/65536 < (a-low)/(DynamicLevel(k+1, decades)-low) {
		k++
	}
	return k
}

// Dynamic8 is a block as it is after it was stored in 8 bits with a sign: multiples of
// the scale that makes the largest magnitude the highest level. bits are 16 random ones
// a value.
func Dynamic8(block []float32, bits []uint32) []float32 {
	out, scale := make([]float32, len(block)), float64(blockScale(block))/DynamicLevel(127, 7)
	for i, x := range block {
		if scale > 0 {
			code := dynamicCode(math.Abs(float64(x))/scale, 7, bits[i])
			out[i] = float32(math.Copysign(scale*DynamicLevel(code, 7), float64(x)))
		}
	}
	return out
}

// Dynamic8Root is the same without a sign, of values ≥ 0 whose roots are stored; only
// zeros become 0.
func Dynamic8Root(block []float32, bits []uint32) []float32 {
	roots := make([]float32, len(block))
	for i, x := range block {
		roots[i] = float32(math.Sqrt(float64(x)))
	}
	out, scale := make([]float32, len(block)), float64(blockScale(roots))/DynamicLevel(255, 8)
	for i, r := range roots {
		if scale > 0 && r > 0 {
			root := scale * DynamicLevel(max(1, dynamicCode(float64(r)/scale, 8, bits[i])), 8)
			out[i] = float32(root * root)
		}
	}
	return out
}

// AdamWPacked is AdamW of weights and moments that are rounded as round says, by
// chance: a list of values with 16 random bits each gives the values that are kept.
func AdamWPacked(weight, m, v, grad []float32, lr, beta1, beta2, eps, decay float64, step int64, gradScale float64, key [2]uint32,
	round [3]func(x []float32, bits []uint32) []float32) {
	AdamW(weight, m, v, grad, lr, beta1, beta2, eps, decay, step, gradScale)
	var bits [3][]uint32
	for i := range weight {
		r := Random(uint32(i), key)
		bits[0], bits[1], bits[2] = append(bits[0], r&0xffff), append(bits[1], r>>16), append(bits[2], Mix(r)>>16)
	}
	for k, x := range [][]float32{weight, m, v} {
		const block = 256
		for at := 0; at < len(x); at += block {
			copy(x[at:at+block], round[k](x[at:at+block], bits[k][at:at+block]))
		}
	}
}

// Exact keeps values as they are, for AdamWPacked.
func Exact(x []float32, _ []uint32) []float32 { return x }

// RoundBF16 is StochasticBF16 of a list.
func RoundBF16(x []float32, bits []uint32) []float32 {
	out := make([]float32, len(x))
	for i := range x {
		out[i] = StochasticBF16(x[i], bits[i])
	}
	return out
}
