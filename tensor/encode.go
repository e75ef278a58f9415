package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"sort"
)

// nf4Levels are the levels of NF4, the quantiles of a normal distribution scaled to
// [-1, 1], ascending (Dettmers et al. 2023, appendix E). shaders/include/load4_nf4.wgsl
// has the same.
var nf4Levels = [16]float32{
	-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453,
	-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
	0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
	0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
}

// int8Most is the largest code of Int8.
const int8Most = 127

// Encode returns data, a whole number of blocks, in d's form: each value rounded to
// the nearest one that d has, in BF16 and F16 to even. NaN and infinities stay in
// F32, BF16 and F16; a block type has none, and a block with one decodes to NaN.
func (d DType) Encode(data []float32) []byte {
	l := layouts[d]
	if d.OfFile() {
		panic(fmt.Sprintf("tensor: %v is written by UploadBlocks", d))
	}
	if len(data)%l.block != 0 {
		panic(fmt.Sprintf("tensor: %d values are no whole number of blocks of %v", len(data), d))
	}
	out := make([]byte, 0, d.Bytes(int64(len(data))))
	for i := 0; i < len(data); i += l.block {
		x := data[i]
		switch d {
		case F32:
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
		case BF16:
			out = binary.LittleEndian.AppendUint16(out, bf16Bits(x))
		case F16:
			out = binary.LittleEndian.AppendUint16(out, f16Bits(x))
		case Int8:
			out = appendInt8(out, data[i:i+l.block])
		case NF4:
			out = appendNF4(out, data[i:i+l.block])
		default:
			panic("tensor: only AdamWPacked writes " + l.name)
		}
	}
	return out
}

// Decode is the inverse of Encode, up to its rounding.
func (d DType) Decode(b []byte) []float32 {
	l := layouts[d]
	out := make([]float32, 0, d.Elements(int64(len(b))))
	for ; int64(len(b)) >= l.bytes; b = b[l.bytes:] {
		switch d {
		case F32:
			out = append(out, floatAt(b))
		case BF16:
			out = append(out, math.Float32frombits(uint32(binary.LittleEndian.Uint16(b))<<16))
		case F16:
			out = append(out, f16Value(binary.LittleEndian.Uint16(b)))
		case Int8:
			scale := floatAt(b)
			for _, code := range b[scaleBytes:l.bytes] {
				out = append(out, scale*float32(int8(code)))
			}
		case NF4:
			scale := floatAt(b)
			for _, code := range b[scaleBytes:l.bytes] {
				out = append(out, scale*nf4Levels[code&15], scale*nf4Levels[code>>4])
			}
		case Dynamic8:
			scale := floatAt(b)
			for _, code := range b[scaleBytes:l.bytes] {
				x := scale * dynamicLevel(uint32(code&127), 7)
				if code > 127 {
					x = -x
				}
				out = append(out, x)
			}
		case Dynamic8Root:
			scale := floatAt(b)
			for _, code := range b[scaleBytes:l.bytes] {
				x := scale * dynamicLevel(uint32(code), 8)
				out = append(out, x*x)
			}
		}
	}
	return out
}

// dynamicLevel is level of shaders/include/dynamic8.wgsl.
func dynamicLevel(k uint32, decades int) float32 {
	if k == 0 {
		return 0
	}
	e := bits.Len32(k) - 1
	width := float64(int(1) << e)
	return float32(math.Pow10(e-decades+1) * (0.1 + 0.9*(float64(k)-width+0.5)/width))
}

// scaleBytes is the size of the float32 that a block begins with.
const scaleBytes = 4

func floatAt(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }

// bf16Bits rounds to nearest, ties to even.
func bf16Bits(x float32) uint16 {
	b := math.Float32bits(x)
	if x != x {
		return uint16(b>>16) | 0x40 // quiet: the payload may lie in the lower half
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// f16Bits rounds to nearest, ties to even; beyond 65504 is infinite.
func f16Bits(x float32) uint16 {
	b := math.Float32bits(x)
	sign, b := uint16(b>>16&0x8000), b&0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00 // NaN
	case b >= 0x477ff000: // 65520, half way to the next value
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*(1<<24)))
	}
	return sign | uint16((b-0x38000000+0xfff+b>>13&1)>>13)
}

func f16Value(h uint16) float32 {
	sign, e, f := uint32(h&0x8000)<<16, uint32(h>>10&31), uint32(h&1023)
	switch e {
	case 0:
		return math.Float32frombits(sign | math.Float32bits(float32(f)/(1<<24)))
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | f<<13)
	}
	return math.Float32frombits(sign | (e+112)<<23 | f<<13)
}

// largest is the largest magnitude, NaN if there is a NaN or an infinity.
func largest(block []float32) float32 {
	var most float64
	for _, x := range block {
		most = math.Max(most, math.Abs(float64(x))) // NaN if x is
	}
	if math.IsInf(most, 0) {
		return float32(math.NaN())
	}
	return float32(most)
}

// appendInt8 appends the scale and the codes of a block.
func appendInt8(out []byte, block []float32) []byte {
	scale := largest(block) / int8Most
	out = binary.LittleEndian.AppendUint32(out, math.Float32bits(scale))
	for _, x := range block {
		code := int8(0)
		if scale > 0 {
			code = int8(max(-int8Most, min(int8Most, math.RoundToEven(float64(x)/float64(scale)))))
		}
		out = append(out, byte(code))
	}
	return out
}

// appendNF4 appends the scale and the codes of a block, two to a byte, the first
// in the lower half.
func appendNF4(out []byte, block []float32) []byte {
	scale := largest(block)
	out = binary.LittleEndian.AppendUint32(out, math.Float32bits(scale))
	for i := 0; i < len(block); i += 2 {
		out = append(out, nf4Code(block[i], scale)|nf4Code(block[i+1], scale)<<4)
	}
	return out
}

// nf4Code is the level nearest to x / scale, the lower one of two as near.
func nf4Code(x, scale float32) byte {
	if !(scale > 0) {
		return nf4Zero
	}
	v := float64(x) / float64(scale)
	above := sort.Search(len(nf4Levels), func(i int) bool { return float64(nf4Levels[i]) >= v })
	switch {
	case above == 0:
		return 0
	case above == len(nf4Levels):
		return byte(above - 1)
	case v-float64(nf4Levels[above-1]) <= float64(nf4Levels[above])-v:
		return byte(above - 1)
	}
	return byte(above)
}

// nf4Zero is the code of the level 0.
const nf4Zero = 7
