package gguf

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Type is how a tensor's values are stored; the numbers are ggml's.
type Type uint32

// The types that are read.
const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2
	Q4_1 Type = 3
	Q5_0 Type = 6
	Q5_1 Type = 7
	Q8_0 Type = 8
	Q4_K Type = 12
	Q5_K Type = 13
	Q6_K Type = 14
	BF16 Type = 30
)

func (t Type) String() string {
	if f, ok := formats[t]; ok {
		return f.name
	}
	return fmt.Sprintf("ggml type %d", uint32(t))
}

// format is a type's blocks. Products are rounded before they are added to, as
// Python does, and so are never fused.
type format struct {
	name          string
	values, bytes int // of a block
	decode        func(out []float32, b []byte)
	encode        func(dst []byte, x []float32) ([]byte, bool) // nil: it is only read; not ok: beyond the type's range
}

var formats map[Type]format

func init() { // String, which the table is for, refers to it
	formats = map[Type]format{
		F32: {"F32", 1, 4, func(out []float32, b []byte) { out[0] = math.Float32frombits(binary.LittleEndian.Uint32(b)) }, encodeF32},
		F16: {"F16", 1, 2, func(out []float32, b []byte) { out[0] = half(b) }, encodeF16},
		BF16: {"BF16", 1, 2, func(out []float32, b []byte) {
			out[0] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16)
		}, encodeBF16},
		Q4_0: {"Q4_0", 32, 18, decodeQ40, encodeQ40},
		Q4_1: {"Q4_1", 32, 20, decodeQ41, nil},
		Q5_0: {"Q5_0", 32, 22, decodeQ50, nil},
		Q5_1: {"Q5_1", 32, 24, decodeQ51, nil},
		Q8_0: {"Q8_0", 32, 34, decodeQ80, encodeQ80},
		Q4_K: {"Q4_K", 256, 144, decodeQ4K, nil},
		Q5_K: {"Q5_K", 256, 176, decodeQ5K, nil},
		Q6_K: {"Q6_K", 256, 210, decodeQ6K, nil},
	}
}

func supported() string {
	var out []string
	for _, t := range slices.Sorted(maps.Keys(formats)) {
		out = append(out, formats[t].name)
	}
	return strings.Join(out, ", ")
}

// half is a float16.
func half(b []byte) float32 {
	h := binary.LittleEndian.Uint16(b)
	sign, exponent, fraction := uint32(h&0x8000)<<16, uint32(h>>10&31), uint32(h&1023)
	switch exponent {
	case 0: // subnormal
		v := float32(fraction) * 0x1p-24
		return math.Float32frombits(math.Float32bits(v) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+112)<<23 | fraction<<13)
}

// A block of 32 holds values 0 to 15 in the low halves of its 16 bytes, 16 to 31
// in the high ones.

func decodeQ40(out []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:18] {
		out[i], out[i+16] = d*float32(int(q&15)-8), d*float32(int(q>>4)-8)
	}
}

func decodeQ41(out []float32, b []byte) {
	d, m := half(b), half(b[2:])
	for i, q := range b[4:20] {
		out[i], out[i+16] = float32(d*float32(q&15))+m, float32(d*float32(q>>4))+m
	}
}

// fifth is bit i of bits as the fifth of a value.
func fifth(bits uint32, i int) uint8 { return uint8(bits>>i&1) << 4 }

func decodeQ50(out []float32, b []byte) {
	d, high := half(b), binary.LittleEndian.Uint32(b[2:])
	for i, q := range b[6:22] {
		out[i], out[i+16] = d*float32(int(q&15|fifth(high, i))-16), d*float32(int(q>>4|fifth(high, i+16))-16)
	}
}

func decodeQ51(out []float32, b []byte) {
	d, m, high := half(b), half(b[2:]), binary.LittleEndian.Uint32(b[4:])
	for i, q := range b[8:24] {
		out[i], out[i+16] = float32(d*float32(q&15|fifth(high, i)))+m, float32(d*float32(q>>4|fifth(high, i+16)))+m
	}
}

func decodeQ80(out []float32, b []byte) {
	d := half(b)
	for i, q := range b[2:34] {
		out[i] = float32(int8(q)) * d
	}
}

// scaleMin is the 6-bit scale and minimum of sub-block i of 8, packed in 12 bytes.
func scaleMin(s []byte, i int) (scale, minimum float32) {
	if i < 4 {
		return float32(s[i] & 63), float32(s[i+4] & 63)
	}
	return float32(s[i+4]&15 | s[i-4]>>6<<4), float32(s[i+4]>>4 | s[i]>>6<<4)
}

func decodeQ4K(out []float32, b []byte) {
	d, dmin, scales, qs := half(b), half(b[2:]), b[4:16], b[16:144]
	for i := range 8 { // of 32 values: the low halves of 32 bytes, then the high ones
		sc, m := scaleMin(scales, i)
		step, least := d*sc, dmin*m
		for k, q := range qs[i/2*32:][:32] {
			out[i*32+k] = float32(step*float32(q>>(i%2*4)&15)) - least
		}
	}
}

func decodeQ5K(out []float32, b []byte) {
	d, dmin, scales, high, qs := half(b), half(b[2:]), b[4:16], b[16:48], b[48:176]
	for i := range 8 {
		sc, m := scaleMin(scales, i)
		step, least := d*sc, dmin*m
		for k, q := range qs[i/2*32:][:32] {
			out[i*32+k] = float32(step*float32(q>>(i%2*4)&15|high[k]>>i&1<<4)) - least
		}
	}
}

func decodeQ6K(out []float32, b []byte) {
	low, high, scales, d := b[:128], b[128:192], b[192:208], half(b[208:])
	for i := range 8 { // of 32 values
		from, shift := i/4*64+i%2*32, i/2%2*4
		for k := range 32 {
			q := low[from+k]>>shift&15 | high[i/4*32+k]>>(i%4*2)&3<<4
			step := d * float32(int8(scales[i*2+k/16]))
			out[i*32+k] = step * float32(int(q)-32)
		}
	}
}
