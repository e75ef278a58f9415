package tensor

import (
	"fmt"

	"concord/gpu"
)

// DType is the element type of a tensor. Kernels compute in float32 for every
// type: it says how values lie in memory.
type DType uint8

// The element types. Int8 and NF4 are for weights that do not change: they are
// written by Upload and read by products and Embedding. A row of them is a whole
// number of blocks, each a float32 scale followed by the codes of its values.
const (
	F32  DType = iota // float32; ids, labels and indices, which are uint32, have this type too
	BF16              // upper half of a float32: 8 bits of exponent, 7 of fraction
	F16               // IEEE 754 binary16: up to 65504, 10 bits of fraction
	Int8              // blocks of 32: value = scale · code, code in -127 .. 127, scale = largest magnitude / 127
	// NF4 is blocks of 64: value = scale · level[code], the 16 levels of QLoRA's 4-bit
	// NormalFloat (Dettmers et al. 2023), scale = largest magnitude.
	NF4
	// Dynamic8 and Dynamic8Root are for moments of an optimizer, in blocks of 256:
	// value = scale · level, 127 levels with a sign over 7 decades, or the square of
	// one of 255 levels over 8 (Dettmers et al., ICLR 2022; the root is ours, so that
	// both moments have the same range). AdamWPacked alone computes with them.
	Dynamic8
	Dynamic8Root
	// The blocks of llama.cpp's files, as they stand there (shaders/include/load4_NAME.wgsl
	// has the layouts): for weights that do not change, written by UploadBlocks alone. They
	// stand last: OfFile goes by it.
	Q4_0
	Q4_1
	Q5_0
	Q5_1
	Q8_0
	Q4_K
	Q5_K
	Q6_K
)

// layout is how an element type lies in memory.
type layout struct {
	name  string // also the value of the choice of an include: shaders/include/load4_NAME.wgsl
	block int    // elements that are addressed as a whole
	bytes int64  // of a block
}

var layouts = [...]layout{
	F32:  {"f32", 1, 4},
	BF16: {"bf16", 1, 2},
	F16:  {"f16", 1, 2},
	Int8: {"int8", 32, 4 + 32},
	NF4:  {"nf4", 64, 4 + 32},

	Dynamic8:     {"dynamic8", momentBlock, 4 + momentBlock},
	Dynamic8Root: {"dynamic8root", momentBlock, 4 + momentBlock},

	Q4_0: {"q4_0", 32, 2 + 16},
	Q4_1: {"q4_1", 32, 4 + 16},
	Q5_0: {"q5_0", 32, 2 + 4 + 16},
	Q5_1: {"q5_1", 32, 4 + 4 + 16},
	Q8_0: {"q8_0", 32, 2 + 32},
	Q4_K: {"q4_k", 256, 4 + 12 + 128},
	Q5_K: {"q5_k", 256, 4 + 12 + 32 + 128},
	Q6_K: {"q6_k", 256, 128 + 64 + 16 + 2},
}

// momentBlock is how many values of a moment share a scale.
const momentBlock = 256

// DTypes lists the element types of weights that Upload writes.
func DTypes() []DType { return []DType{F32, BF16, F16, Int8, NF4} }

// FileTypes lists the element types of weights that only UploadBlocks writes.
func FileTypes() []DType { return []DType{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K} }

// OfFile reports whether d is one of FileTypes.
func (d DType) OfFile() bool { return d >= Q4_0 }

// ParseDType finds the element type called name: f32, bf16, f16, int8 or nf4.
func ParseDType(name string) (DType, error) {
	for _, d := range DTypes() {
		if d.String() == name {
			return d, nil
		}
	}
	return F32, fmt.Errorf("tensor: no element type named %q: use f32, bf16, f16, int8 or nf4", name)
}

func (d DType) String() string { return layouts[d].name }

// Blocks says that values share a scale.
func (d DType) Blocks() bool { return layouts[d].block > 1 }

// Bytes is the size in bytes of n elements, blocks counted whole.
func (d DType) Bytes(n int64) int64 {
	l := layouts[d]
	return (n + int64(l.block) - 1) / int64(l.block) * l.bytes
}

// Block is the number of elements that are stored together.
func (d DType) Block() int { return layouts[d].block }

// wordBytes is the alignment of the size of a buffer or binding.
const wordBytes = 4

// extent is Bytes in whole words: the size of a buffer or binding of n elements.
func (d DType) extent(n int64) int64 { return (d.Bytes(n) + wordBytes - 1) / wordBytes * wordBytes }

// Elements is how many elements size bytes hold.
func (d DType) Elements(size int64) int64 {
	l := layouts[d]
	return size / l.bytes * int64(l.block)
}

// LD is the leading dimension of rows of c elements: whole vec4s, and whole blocks.
func (d DType) LD(c int) int { return alignUp(c, max(vec4, layouts[d].block)) }

// bindAlign is the alignment of the offset of a binding in bytes.
const bindAlign = 256

// columnUnit is the least multiple of blockUnit elements after which a part of a
// row can be bound.
func (d DType) columnUnit() int {
	for n := blockUnit; ; n += blockUnit {
		if n%layouts[d].block == 0 && d.Bytes(int64(n))%bindAlign == 0 {
			return n
		}
	}
}

// rowUnit is the least multiple of blockUnit rows, of whole blocks, after which a part
// of a matrix can be bound.
func (d DType) rowUnit() int {
	for n := blockUnit; ; n += blockUnit {
		if !d.Blocks() || d.Bytes(int64(n)*int64(layouts[d].block))%bindAlign == 0 {
			return n
		}
	}
}

// vec4 is the number of elements that kernels load and store at once.
const vec4 = 4

// vec4s is the number of vec4s that hold n elements.
func vec4s(n int) uint32 { return uint32(ceilDiv(n, vec4)) }

// elements is the number of elements of n4 vec4s.
func elements[N int | uint32](n4 N) int64 { return vec4 * int64(n4) }

// f32Bytes is the size in bytes of n float32 or uint32.
func f32Bytes[N int | int64](n N) int64 { return F32.Bytes(int64(n)) }

// f32View is count float32 of b from the first one on.
func f32View[N int | int64](v Tensor, first, count N) gpu.View {
	return gpu.View{Buf: v.Buf, Offset: v.Offset + f32Bytes(first), Size: f32Bytes(count)}
}
