package ref

import "math"

// Dropout is out = factor·x where the mask keeps a value, else 0, for rows of c values:
// row i's mask is that of token tokens[i]. It adds to out if accumulate. The twin of
// shaders/dropout.wgsl.
func Dropout(out, x []float32, tokens []uint64, c int, share float64, key [2]uint32, accumulate bool) {
	mask := DropoutMask(tokens, c, share, key)
	for i, v := range x {
		kept := float32(0)
		if mask[i] != 0 {
			kept = float32(float32(mask[i]) * v)
		}
		if accumulate {
			kept += out[i]
		}
		out[i] = kept
	}
}

// DropoutMask is 0 where a value is left out, which is so for this share of them, else
// 1/(1−share).
func DropoutMask(tokens []uint64, c int, share float64, key [2]uint32) []float64 {
	bound, out := uint32(min(math.Round(share*(1<<32)), math.MaxUint32)), make([]float64, len(tokens)*c)
	for i, token := range tokens {
		for j := range c {
			if draw(uint32(j/4), token, key)[j%4] >= bound {
				out[i*c+j] = 1 / (1 - share)
			}
		}
	}
	return out
}

// draw is pcg4d of the counter (block, token, key) (Jarzynski and Olano, JCGT 9(3), 2020).
func draw(block uint32, token uint64, key [2]uint32) [4]uint32 {
	v := [4]uint32{block, uint32(token), uint32(token>>32) ^ key[0], key[1]}
	for i := range v {
		v[i] = v[i]*1664525 + 1013904223
	}
	cross := func() {
		v[0] += v[1] * v[3]
		v[1] += v[2] * v[0]
		v[2] += v[0] * v[1]
		v[3] += v[1] * v[2]
	}
	cross()
	for i := range v {
		v[i] ^= v[i] >> 16
	}
	cross()
	return v
}
