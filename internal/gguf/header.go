package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// The bounds of a header, beyond the file's size: real files stay far
// below them.
const (
	maxDims      = 4
	maxAlignment = 1 << 20
	maxName      = 1 << 16
	maxTensors   = 1 << 20
	maxKeys      = 1 << 20
)

// The types of metadata values.
const (
	kindU8 uint32 = iota
	kindI8
	kindU16
	kindI16
	kindU32
	kindI32
	kindF32
	kindBool
	kindString
	kindArray
	kindU64
	kindI64
	kindF64
)

// header reads a file's head and knows how much of the file is left.
type header struct {
	r    *bufio.Reader
	left int64
	read int64
}

func parse(r io.ReaderAt, size int64) (*File, error) {
	h := &header{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), left: size}
	f := &File{r: r, size: size, meta: map[string]any{}, tensors: map[string]Tensor{}}
	magic, err := h.bytes(4)
	if err != nil || string(magic) != Magic {
		return nil, fmt.Errorf("does not begin with %q: it is no GGUF file", Magic)
	}
	version, err := h.u32()
	if err != nil {
		return nil, err
	}
	if version != 2 && version != 3 {
		return nil, fmt.Errorf("version %d is not supported: supported are 2 and 3, little-endian", version)
	}
	tensors, err := h.count("tensors", 24, maxTensors) // name's length, dimensions, type, offset
	if err != nil {
		return nil, err
	}
	keys, err := h.count("metadata keys", 13, maxKeys) // key's length, type, a byte
	if err != nil {
		return nil, err
	}
	for range keys {
		if err := f.readKey(h); err != nil {
			return nil, err
		}
	}
	for range tensors {
		if err := f.readTensor(h); err != nil {
			return nil, err
		}
	}
	return f, f.place(h.read)
}

func (f *File) readKey(h *header) error {
	key, err := h.text(maxName)
	if err != nil {
		return fmt.Errorf("a metadata key: %w", err)
	}
	if _, ok := f.meta[key]; ok {
		return fmt.Errorf("metadata key %q is there twice", key)
	}
	kind, err := h.u32()
	if err != nil {
		return err
	}
	if f.meta[key], err = h.value(kind); err != nil {
		return fmt.Errorf("metadata %q: %w", key, err)
	}
	return nil
}

func (f *File) readTensor(h *header) error {
	name, err := h.text(maxName)
	if err != nil {
		return fmt.Errorf("a tensor's name: %w", err)
	}
	if _, ok := f.tensors[name]; ok {
		return fmt.Errorf("tensor %q is there twice", name)
	}
	dims, err := h.u32()
	if err != nil {
		return err
	}
	if dims > maxDims {
		return fmt.Errorf("tensor %q has %d dimensions, at most %d are possible", name, dims, maxDims)
	}
	t, values := Tensor{Name: name}, int64(1)
	for range dims {
		d, err := h.u64()
		if err != nil {
			return err
		}
		if d == 0 || d > uint64(f.size)*8 || int64(d) > f.size*8/values { // no type has fewer bits a value than one
			return fmt.Errorf("tensor %q has a dimension of %d, which does not fit the file", name, d)
		}
		values *= int64(d)
		t.Shape = append(t.Shape, int(d))
	}
	kind, err := h.u32()
	if err != nil {
		return err
	}
	offset, err := h.u64()
	if err != nil {
		return err
	}
	format, ok := formats[Type(kind)]
	if !ok {
		return fmt.Errorf("tensor %q has the type %v, which is not supported: supported are %s", name, Type(kind), supported())
	}
	if width := first(t.Shape); width%format.values != 0 {
		return fmt.Errorf("tensor %q has rows of %d values, %v needs a multiple of %d", name, width, Type(kind), format.values)
	}
	if offset > uint64(f.size) {
		return fmt.Errorf("tensor %q begins at %d, beyond the file's end", name, offset)
	}
	slices.Reverse(t.Shape)
	t.Type, t.offset, t.bytes = Type(kind), int64(offset), values/int64(format.values)*int64(format.bytes)
	f.tensors[name] = t
	f.names = append(f.names, name)
	return nil
}

func first(shape []int) int {
	if len(shape) == 0 {
		return 1
	}
	return shape[0]
}

// place finds where the tensors begin and holds their ends against the file's.
func (f *File) place(header int64) error {
	align := 32
	if _, ok := f.meta["general.alignment"]; ok {
		n, err := f.Int("general.alignment")
		if err != nil || n < 1 || n > maxAlignment || n&(n-1) != 0 {
			return fmt.Errorf("general.alignment is %v, must be a power of two up to %d", f.meta["general.alignment"], maxAlignment)
		}
		align = n
	}
	f.data = (header + int64(align) - 1) / int64(align) * int64(align)
	for _, name := range f.names {
		t := f.tensors[name]
		if t.offset%int64(align) != 0 {
			return fmt.Errorf("tensor %q begins at %d, which is no multiple of %d", name, t.offset, align)
		}
		if t.bytes > f.size-f.data-t.offset {
			return fmt.Errorf("tensor %q ends at %d, the file at %d: it is cut short", name, f.data+t.offset+t.bytes, f.size)
		}
	}
	return nil
}

var errShort = errors.New("the file ends in its header")

// take counts n bytes that are about to be read.
func (h *header) take(n int64) error {
	if n > h.left {
		return errShort
	}
	h.left -= n
	h.read += n
	return nil
}

func (h *header) bytes(n int) ([]byte, error) {
	if err := h.take(int64(n)); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(h.r, b); err != nil {
		return nil, errShort
	}
	return b, nil
}

func (h *header) u32() (uint32, error) {
	b, err := h.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (h *header) u64() (uint64, error) {
	b, err := h.bytes(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads how many things of at least size bytes follow.
func (h *header) count(what string, size int64, most uint64) (uint64, error) {
	n, err := h.u64()
	if err != nil {
		return 0, err
	}
	if n > most || n > uint64(h.left/size) {
		return 0, fmt.Errorf("%d %s cannot be in a file with %d bytes left", n, what, h.left)
	}
	return n, nil
}

func (h *header) text(most uint64) (string, error) {
	n, err := h.count("bytes of text", 1, most)
	if err != nil {
		return "", err
	}
	b, err := h.bytes(int(n))
	return string(b), err
}

// maxText bounds one text of the metadata: chat templates have some kB.
const maxText = 16 << 20

// sizes are the bytes of a value of each type; strings and arrays vary.
var sizes = map[uint32]int{
	kindU8: 1, kindI8: 1, kindBool: 1, kindU16: 2, kindI16: 2, kindU32: 4, kindI32: 4, kindF32: 4, kindU64: 8, kindI64: 8, kindF64: 8,
}

// value reads a value. Arrays do not hold arrays: no program writes them.
func (h *header) value(kind uint32) (any, error) {
	switch {
	case kind == kindString:
		return h.text(maxText)
	case kind == kindArray:
		return h.array()
	case sizes[kind] == 0:
		return nil, fmt.Errorf("has the unknown type %d", kind)
	}
	b, err := h.bytes(sizes[kind])
	if err != nil {
		return nil, err
	}
	return scalar(kind, b), nil
}

func scalar(kind uint32, b []byte) any {
	le := binary.LittleEndian
	switch kind {
	case kindU8:
		return b[0]
	case kindI8:
		return int8(b[0])
	case kindU16:
		return le.Uint16(b)
	case kindI16:
		return int16(le.Uint16(b))
	case kindU32:
		return le.Uint32(b)
	case kindI32:
		return int32(le.Uint32(b))
	case kindF32:
		return math.Float32frombits(le.Uint32(b))
	case kindBool:
		return b[0] != 0
	case kindU64:
		return le.Uint64(b)
	case kindI64:
		return int64(le.Uint64(b))
	}
	return math.Float64frombits(le.Uint64(b))
}

func (h *header) array() (any, error) {
	kind, err := h.u32()
	if err != nil {
		return nil, err
	}
	switch {
	case kind == kindArray:
		return nil, errors.New("is an array of arrays, which is not supported")
	case kind == kindString:
		n, err := h.count("strings", 8, math.MaxInt64)
		if err != nil {
			return nil, err
		}
		out := make([]string, n)
		for i := range out {
			if out[i], err = h.text(maxText); err != nil {
				return nil, err
			}
		}
		return out, nil
	case sizes[kind] == 0:
		return nil, fmt.Errorf("is an array of the unknown type %d", kind)
	}
	n, err := h.count("values", int64(sizes[kind]), math.MaxInt64)
	if err != nil {
		return nil, err
	}
	b, err := h.bytes(int(n) * sizes[kind])
	if err != nil {
		return nil, err
	}
	return scalars(kind, b), nil
}

// scalars is the array of b's values, []T of the type that scalar returns: no larger in memory
// than in the file.
func scalars(kind uint32, b []byte) any {
	switch kind {
	case kindU8:
		return each[uint8](kind, b)
	case kindI8:
		return each[int8](kind, b)
	case kindU16:
		return each[uint16](kind, b)
	case kindI16:
		return each[int16](kind, b)
	case kindU32:
		return each[uint32](kind, b)
	case kindI32:
		return each[int32](kind, b)
	case kindF32:
		return each[float32](kind, b)
	case kindBool:
		return each[bool](kind, b)
	case kindU64:
		return each[uint64](kind, b)
	case kindI64:
		return each[int64](kind, b)
	}
	return each[float64](kind, b)
}

func each[T any](kind uint32, b []byte) []T {
	size := sizes[kind]
	out := make([]T, len(b)/size)
	for i := range out {
		out[i] = scalar(kind, b[i*size:][:size]).(T)
	}
	return out
}
