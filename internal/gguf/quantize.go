package gguf

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"concord/internal/safetensors"
)

// ParseType finds a type that can be written by its name in small letters: f32, f16,
// bf16, q8_0 or q4_0.
func ParseType(name string) (Type, error) {
	for t, f := range formats {
		if f.encode != nil && strings.ToLower(f.name) == name {
			return t, nil
		}
	}
	return F32, fmt.Errorf("gguf: no type %q can be written: use %s", name, strings.Join(Writable(), ", "))
}

// Writable names the types that can be written.
func Writable() []string {
	var out []string
	for _, t := range slices.Sorted(maps.Keys(formats)) {
		if formats[t].encode != nil {
			out = append(out, strings.ToLower(formats[t].name))
		}
	}
	return out
}

// Writable says that Quantize writes t.
func (t Type) Writable() bool { return formats[t].encode != nil }

// Block is the number of values that are stored together: a row must hold whole ones.
func (t Type) Block() int { return formats[t].values }

// Quantize appends x, whole blocks of t, to dst: the bytes of the gguf package of
// Python. A finite value or scale beyond float16 is an error, as is a type that cannot
// be written.
func Quantize(dst []byte, x []float32, t Type) ([]byte, error) {
	f := formats[t]
	if f.encode == nil {
		return dst, fmt.Errorf("gguf: %v cannot be written: use %s", t, strings.Join(Writable(), ", "))
	}
	if len(x)%f.values != 0 {
		return dst, fmt.Errorf("gguf: %d values are no whole blocks of %v, which have %d", len(x), t, f.values)
	}
	for at := 0; at < len(x); at += f.values {
		var ok bool
		if dst, ok = f.encode(dst, x[at:at+f.values]); !ok {
			return dst, fmt.Errorf("value %d or its scale is beyond the range of %v: use bf16 or f32", at, t)
		}
	}
	return dst, nil
}

func encodeF32(dst []byte, x []float32) ([]byte, bool) {
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(x[0])), true
}

func encodeBF16(dst []byte, x []float32) ([]byte, bool) {
	h := safetensors.BF16Bits(x[0])
	return binary.LittleEndian.AppendUint16(dst, h), h&0x7fff != 0x7f80 || math.IsInf(float64(x[0]), 0)
}

// encodeF16 is also how blocks keep their scales.
func encodeF16(dst []byte, x []float32) ([]byte, bool) {
	h := safetensors.F16Bits(x[0])
	return binary.LittleEndian.AppendUint16(dst, h), h&0x7fff != 0x7c00 || math.IsInf(float64(x[0]), 0)
}

// inverse is 1/d, 0 for 0.
func inverse(d float32) float32 {
	if d == 0 {
		return 0
	}
	return 1 / d
}

// encodeQ80: the largest magnitude becomes 127; halves are rounded away from 0.
func encodeQ80(dst []byte, x []float32) ([]byte, bool) {
	most := float32(0)
	for _, v := range x {
		most = max(most, float32(math.Abs(float64(v))))
	}
	d := most / 127
	dst, ok := encodeF16(dst, []float32{d})
	by := inverse(d)
	for _, v := range x {
		dst = append(dst, byte(int8(math.Round(float64(v*by)))))
	}
	return dst, ok
}

// encodeQ40: the first value of the largest magnitude becomes -8. The product is
// rounded before 8.5 is added, as Python does.
func encodeQ40(dst []byte, x []float32) ([]byte, bool) {
	most := float32(0)
	for _, v := range x {
		if math.Abs(float64(v)) > math.Abs(float64(most)) {
			most = v
		}
	}
	d := most / -8
	dst, ok := encodeF16(dst, []float32{d})
	by := inverse(d)
	code := func(v float32) byte { return byte(min(15, max(0, float32(v*by)+8.5))) }
	for i := range 16 {
		dst = append(dst, code(x[i])|code(x[i+16])<<4)
	}
	return dst, ok
}

// Bytes is the size of a block.
func (t Type) Bytes() int { return formats[t].bytes }
