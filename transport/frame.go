package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
)

// Kind is the kind of a transfer's payload.
type Kind uint8

// The kinds of transfers.
const (
	Rows       Kind = 1 // one language's share of a bucket's gradient, to the bucket's owner
	Gradient   Kind = 2 // a resolved bucket gradient, from the owner to everyone
	Parameters Kind = 3 // a bucket's updated weights, from the owner to everyone
	Gram       Kind = 4 // of a slice's rows, in the metadata, from its owner to the leader of its resolve group
	Solution   Kind = 5 // of a resolve group, in the metadata, from its leader to the owners of its other slices
)

func (k Kind) String() string {
	if k < Rows || k > Solution {
		return fmt.Sprint("kind ", uint8(k))
	}
	return [...]string{"rows", "gradient", "weights", "Gram", "solution"}[k-Rows]
}

// HeaderSize is the length of an encoded Header in bytes.
const HeaderSize = 96

// Bounds that a receiver checks before it allocates anything.
const (
	MaxMeta    = 1 << 20
	MaxPayload = 1 << 32
	MaxRows    = 1 << 10
)

var (
	magic      = [4]byte{'C', 'N', 'C', 'D'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// wireVersion changes with every incompatible change of docs/wire.md.
const wireVersion = 3

// Header begins a transfer. (Run, Step, Bucket, Row, Group) name the content:
// a second transfer of the same name is not counted again. Epoch, Sender and
// Attempt are for fencing and the record.
type Header struct {
	Kind     Kind
	Codec    Codec
	Run      [16]byte
	Step     uint64 // the step that the content belongs to, from 0
	Epoch    uint32 // of the owner map that the sender goes by
	Bucket   uint32 // resolve group
	Row      uint16 // gradient row: language, or half-language
	Attempt  uint16
	Sender   uint32 // worker number
	Elements uint64 // float32 values that the payload decodes to
	Payload  uint64 // bytes
	Tokens   uint64 // supervised tokens that the row was computed from
	Loss     float64
	Norm2    float64 // squared Euclidean norm of the values
	Meta     uint32  // bytes of metadata before the payload
}

// Encode returns the 96 bytes of h.
func (h Header) Encode() []byte {
	b := make([]byte, HeaderSize)
	le := binary.LittleEndian
	copy(b, magic[:])
	le.PutUint16(b[4:], wireVersion)
	b[6], b[7] = byte(h.Kind), byte(h.Codec)
	copy(b[8:24], h.Run[:])
	le.PutUint64(b[24:], h.Step)
	le.PutUint32(b[32:], h.Epoch)
	le.PutUint32(b[36:], h.Bucket)
	le.PutUint16(b[40:], h.Row)
	le.PutUint16(b[42:], h.Attempt)
	le.PutUint32(b[44:], h.Sender)
	le.PutUint64(b[48:], h.Elements)
	le.PutUint64(b[56:], h.Payload)
	le.PutUint64(b[64:], h.Tokens)
	le.PutUint64(b[72:], math.Float64bits(h.Loss))
	le.PutUint64(b[80:], math.Float64bits(h.Norm2))
	le.PutUint32(b[88:], h.Meta)
	le.PutUint32(b[92:], crc32.Checksum(b[:92], castagnoli))
	return b
}

// DecodeHeader reads a header and checks everything that needs no knowledge of
// the run: sizes that do not fit together or exceed the bounds are ErrFrame.
func DecodeHeader(b []byte) (Header, error) {
	var h Header
	le := binary.LittleEndian
	switch {
	case len(b) != HeaderSize:
		return h, fmt.Errorf("%w: a header of %d bytes", ErrFrame, len(b))
	case !bytes.Equal(b[:4], magic[:]):
		return h, fmt.Errorf("%w: not a bucket transfer", ErrFrame)
	case le.Uint16(b[4:]) != wireVersion:
		return h, fmt.Errorf("%w: wire version %d, this program speaks %d", ErrFrame, le.Uint16(b[4:]), wireVersion)
	case le.Uint32(b[92:]) != crc32.Checksum(b[:92], castagnoli):
		return h, fmt.Errorf("%w: header checksum", ErrFrame)
	}
	h = Header{Kind: Kind(b[6]), Codec: Codec(b[7]), Step: le.Uint64(b[24:]), Epoch: le.Uint32(b[32:]),
		Bucket: le.Uint32(b[36:]), Row: le.Uint16(b[40:]), Attempt: le.Uint16(b[42:]), Sender: le.Uint32(b[44:]),
		Elements: le.Uint64(b[48:]), Payload: le.Uint64(b[56:]), Tokens: le.Uint64(b[64:]),
		Loss: math.Float64frombits(le.Uint64(b[72:])), Norm2: math.Float64frombits(le.Uint64(b[80:])), Meta: le.Uint32(b[88:])}
	copy(h.Run[:], b[8:24])
	return h, h.check()
}

func (h Header) check() error {
	switch {
	case h.Kind < Rows || h.Kind > Solution:
		return fmt.Errorf("%w: kind %d", ErrFrame, h.Kind)
	case !h.Codec.valid():
		return fmt.Errorf("%w: codec %d", ErrFrame, h.Codec)
	case (h.Kind == Gram || h.Kind == Solution) && (h.Elements != 0 || h.Codec != F32):
		return fmt.Errorf("%w: %s with %d values as %s", ErrFrame, h.Kind, h.Elements, h.Codec)
	case h.Meta > MaxMeta:
		return fmt.Errorf("%w: %d bytes of metadata; %d are possible", ErrFrame, h.Meta, MaxMeta)
	case h.Row >= MaxRows:
		return fmt.Errorf("%w: row %d; %d are possible", ErrFrame, h.Row, MaxRows)
	case h.Payload > MaxPayload || h.Elements > MaxPayload:
		return fmt.Errorf("%w: a payload of %d bytes for %d values; 4 GiB are possible", ErrFrame, h.Payload, h.Elements)
	case h.Payload != uint64(h.Codec.Size(int(h.Elements))):
		return fmt.Errorf("%w: %d bytes do not hold %d values as %s", ErrFrame, h.Payload, h.Elements, h.Codec)
	}
	return nil
}
