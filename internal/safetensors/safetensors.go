// Package safetensors reads and writes the safetensors weight format, single
// files and sharded folders, strictly: a file with a hole, an overlap, a
// duplicate name, a wrong length or a cut end is an error that names the file,
// the tensor and the byte offsets; nothing is repaired.
//
// Layout: a little-endian uint64 header length, that many bytes of JSON
// ({"name": {"dtype", "shape", "data_offsets"}}, optionally padded with
// spaces), then the tensors' bytes, little-endian, row-major, without gaps.
//
// The package knows nothing of devices or models. A Reader keeps its files open
// until Close and may be used by several goroutines. Writers produce the same
// bytes for the same tensors and replace their target atomically. Start reading
// at Open (reader.go) and Write (writer.go).
package safetensors

import (
	"fmt"
	"math"
)

// MaxHeader is the longest header the format allows, in bytes.
const MaxHeader = 100_000_000

// DType is a tensor's element type, as the format spells it.
type DType string

// The element types that concord converts to and from float32.
const (
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
)

// U8 is bytes, which are written and read as they are.
const U8 DType = "U8"

// bits is the size of one element of every type the format defines.
var bits = map[DType]int{
	"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
	"I16": 16, "U16": 16, F16: 16, BF16: 16, "I32": 32, "U32": 32, F32: 32,
	"C64": 64, "F64": 64, "I64": 64, "U64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}

// ParseDType maps a configuration's or torch's name of a type (f32, float32,
// bf16, bfloat16, f16, float16, half, any case) to a DType that Write accepts.
func ParseDType(s string) (DType, error) {
	switch s {
	case "f32", "F32", "fp32", "float32", "torch.float32", "float":
		return F32, nil
	case "f16", "F16", "fp16", "float16", "torch.float16", "half":
		return F16, nil
	case "bf16", "BF16", "bfloat16", "torch.bfloat16":
		return BF16, nil
	}
	return "", fmt.Errorf("safetensors: dtype %q is not supported: use f32, f16 or bf16", s)
}

// Torch is the name that config.json uses for d: float32, float16 or bfloat16.
func (d DType) Torch() string {
	return map[DType]string{F32: "float32", F16: "float16", BF16: "bfloat16"}[d]
}

// convertible reports whether d can be read to and written from float32.
func (d DType) convertible() bool { return d == F32 || d == F16 || d == BF16 }

// Info describes one stored tensor.
type Info struct {
	Name       string
	DType      DType
	Shape      []int // empty for a scalar
	File       string
	Begin, End int64 // byte range in File
}

// Elements is the number of values of the tensor.
func (i Info) Elements() int {
	n := 1
	for _, d := range i.Shape {
		n *= d
	}
	return n
}

// CheckFinite returns an error that names the tensor, the first index that is
// NaN or infinite, and the value.
func CheckFinite(name string, data []float32) error {
	for i, v := range data {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return fmt.Errorf("safetensors: tensor %q: value %d of %d is %v: the weights are damaged", name, i, len(data), v)
		}
	}
	return nil
}
