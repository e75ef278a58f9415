package transport

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Codec is how values travel.
type Codec uint8

// The codecs. Int8 holds blocks of 256 values: a float32 scale, max|x|/127, and
// a signed byte each.
const (
	F32  Codec = 0
	BF16 Codec = 1
	Int8 Codec = 2
)

// int8Block is how many values share a scale.
const int8Block = 256

var codecNames = map[string]Codec{"f32": F32, "bf16": BF16, "int8": Int8}

func (c Codec) valid() bool { return c <= Int8 }

func (c Codec) String() string {
	for name, x := range codecNames {
		if x == c {
			return name
		}
	}
	return fmt.Sprintf("codec %d", uint8(c))
}

// Size is the bytes of n encoded values.
func (c Codec) Size(n int) int {
	switch c {
	case F32:
		return 4 * n
	case BF16:
		return 2 * n
	}
	return n + 4*((n+int8Block-1)/int8Block)
}

// Lossless says that decoding gives the same values.
func (c Codec) Lossless() bool { return c == F32 }

// Encode returns x encoded. NaN and infinities stay so in F32 and
// BF16; Int8 carries a block that holds one as NaN throughout.
func (c Codec) Encode(x []float32) []byte {
	out := make([]byte, c.Size(len(x)))
	switch c {
	case F32:
		for i, v := range x {
			binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v))
		}
	case BF16:
		for i, v := range x {
			binary.LittleEndian.PutUint16(out[2*i:], bf16(v))
		}
	case Int8:
		at := 0
		for lo := 0; lo < len(x); lo += int8Block {
			at += encodeBlock(out[at:], x[lo:min(lo+int8Block, len(x))])
		}
	}
	return out
}

// bf16 rounds to nearest, ties to even.
func bf16(v float32) uint16 {
	b := math.Float32bits(v)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40 // a NaN whose bits lie in the lower half must not become infinite
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func encodeBlock(out []byte, x []float32) int {
	most := float32(0)
	for _, v := range x {
		a := float32(math.Abs(float64(v)))
		if !(a <= math.MaxFloat32) {
			most = float32(math.NaN())
			break
		}
		most = max(most, a)
	}
	scale := most / 127
	binary.LittleEndian.PutUint32(out, math.Float32bits(scale))
	for i, v := range x {
		if scale > 0 {
			out[4+i] = byte(int8(math.RoundToEven(float64(v) / float64(scale))))
		}
	}
	return 4 + len(x)
}

// Decode writes the values of b to x. len(b) must be c.Size(len(x)).
func (c Codec) Decode(x []float32, b []byte) error {
	if len(b) != c.Size(len(x)) {
		return fmt.Errorf("%w: %d bytes do not hold %d values as %s", ErrFrame, len(b), len(x), c)
	}
	switch c {
	case F32:
		for i := range x {
			x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	case BF16:
		for i := range x {
			x[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		}
	case Int8:
		for lo := 0; lo < len(x); lo += int8Block {
			n := min(int8Block, len(x)-lo)
			scale := math.Float32frombits(binary.LittleEndian.Uint32(b))
			for i := range n {
				x[lo+i] = scale * float32(int8(b[4+i]))
			}
			b = b[4+n:]
		}
	}
	return nil
}

// Finite says that b, encoded values, holds no NaN and no infinity.
func (c Codec) Finite(b []byte) bool {
	switch c {
	case F32:
		for i := 0; i+4 <= len(b); i += 4 {
			if binary.LittleEndian.Uint32(b[i:])&0x7f800000 == 0x7f800000 {
				return false
			}
		}
	case BF16:
		for i := 0; i+2 <= len(b); i += 2 {
			if binary.LittleEndian.Uint16(b[i:])&0x7f80 == 0x7f80 {
				return false
			}
		}
	case Int8:
		for i := 0; i+4 <= len(b); i += 4 + int8Block { // 127 scales must be finite, too
			scale := math.Float32frombits(binary.LittleEndian.Uint32(b[i:]))
			if most := float64(scale * 128); math.IsNaN(most) || math.IsInf(most, 0) {
				return false
			}
		}
	}
	return true
}
