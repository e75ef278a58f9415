package safetensors

import (
	"encoding/binary"
	"fmt"
	"math"
)

// decode converts little-endian src of type d (F32, F16 or BF16) into dst,
// exactly: both half types are subsets of float32.
func decode(dst []float32, src []byte, d DType) {
	switch d {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case BF16:
		for i := range dst {
			dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
		}
	case F16:
		for i := range dst {
			dst[i] = fromF16(binary.LittleEndian.Uint16(src[2*i:]))
		}
	default:
		panic("safetensors: decode of " + string(d))
	}
}

// encode appends src as type d to dst, rounding to nearest, ties to even. A
// finite value that would become infinite is an error naming its index.
func encode(dst []byte, src []float32, d DType) ([]byte, error) {
	for i, v := range src {
		var h uint16
		switch d {
		case F32:
			dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(v))
			continue
		case BF16:
			h = BF16Bits(v)
			if h&0x7fff == 0x7f80 && !math.IsInf(float64(v), 0) {
				return dst, overflowError(i, v, d)
			}
		case F16:
			h = F16Bits(v)
			if h&0x7fff == 0x7c00 && !math.IsInf(float64(v), 0) {
				return dst, overflowError(i, v, d)
			}
		default:
			panic("safetensors: encode of " + string(d))
		}
		dst = binary.LittleEndian.AppendUint16(dst, h)
	}
	return dst, nil
}

func overflowError(i int, v float32, d DType) error {
	return fmt.Errorf("value %d is %v, beyond the range of %s: save as f32 or bf16", i, v, d)
}

// BF16Bits drops 16 bits of the significand, round to nearest even. NaN stays a
// quiet NaN.
func BF16Bits(v float32) uint16 {
	b := math.Float32bits(v)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// F16Bits rounds to IEEE binary16, nearest even; too large becomes infinite.
func F16Bits(v float32) uint16 {
	b := math.Float32bits(v)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 // NaN
	case b >= 0x47800000: // 2^16 and above, and Inf
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: subnormal, a multiple of 2^-24
		// Adding 0.5 puts the result into the low bits with the FPU's own rounding.
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	return sign | uint16((b-0x38000000+0xfff+b>>13&1)>>13) // rebias 127 to 15, round
}

// Rounded is values as a file of d holds them: float32 itself, or rounded to nearest even.
func Rounded(values []float32, d DType) []float32 {
	if d != BF16 && d != F16 {
		return values
	}
	out := make([]float32, len(values))
	for i, v := range values {
		if d == BF16 {
			out[i] = math.Float32frombits(uint32(BF16Bits(v)) << 16)
		} else {
			out[i] = fromF16(F16Bits(v))
		}
	}
	return out
}

// fromF16 is exact.
func fromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	e, m := uint32(h>>10&31), uint32(h&0x3ff)
	switch e {
	case 0:
		v := float32(m) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(v))
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | m<<13)
	}
	return math.Float32frombits(sign | (e+112)<<23 | m<<13)
}
