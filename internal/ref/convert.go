package ref

import "math"

// Twins of the accessors in shaders/include: decoding is exact, so the values that
// a kernel computes with are those of these functions, and every bound for float32
// operands holds for it. Formats as tensor.DType describes them.

// BF16 is x rounded to 8 significant bits, ties to even.
func BF16(x float64) float64 { return significant(x, 8, -126, math.MaxFloat32) }

// F16 is x rounded to binary16: 11 significant bits, multiples of 2^-24 below 2^-14,
// infinite from 65520 on.
func F16(x float64) float64 { return significant(x, 11, -14, 65504) }

// significant rounds x to so many significant bits, fewer below 2^least; a value that
// rounds to more than most is infinite.
func significant(x float64, bits, least int, most float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return x
	}
	_, e := math.Frexp(x) // |x| = f · 2^e, f in [1/2, 1)
	unit := math.Ldexp(1, max(e, least+1)-bits)
	y := math.RoundToEven(x/unit) * unit
	if math.Abs(y) > most {
		return math.Copysign(math.Inf(1), x)
	}
	return y
}

// Int8Block is a block of weights, decoded from Int8: multiples of 1/127 of
// the largest magnitude.
func Int8Block(block []float32) []float32 {
	scale := blockScale(block) / 127
	out := make([]float32, len(block))
	for i, x := range block {
		if scale > 0 {
			out[i] = scale*float32(math.RoundToEven(float64(x)/float64(scale))) + 0 // a code has no -0
		}
	}
	return out
}

// nf4 are the positive and negative levels of 4-bit NormalFloat.
var nf4 = []float32{-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
	-0.09105003625154495, 0,
	0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
	0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1}

// NF4Block is a block of weights, decoded from NF4: the nearest levels, in
// units of the largest magnitude.
func NF4Block(block []float32) []float32 {
	scale := blockScale(block)
	out := make([]float32, len(block))
	for i, x := range block {
		best := nf4[7]
		for _, level := range nf4 {
			if scale > 0 && math.Abs(float64(x)/float64(scale)-float64(level)) < math.Abs(float64(x)/float64(scale)-float64(best)) {
				best = level
			}
		}
		out[i] = scale * best
	}
	return out
}

func blockScale(block []float32) (most float32) {
	for _, x := range block {
		most = max(most, float32(math.Abs(float64(x))))
	}
	return most
}
