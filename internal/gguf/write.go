package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// alignment of the tensors in written files.
const alignment = 32

// KV is a key of the metadata. Values are string, bool, uint32, int32, float32, or a
// slice of string, int32 or float32.
type KV struct {
	Key   string
	Value any
}

// Header is a file with only its head: for a caller that wants to know how these
// keys and tensors will be read. Its tensors cannot be read.
func Header(meta []KV, tensors []Tensor) *File {
	f := &File{Path: "(not written yet)", meta: map[string]any{}, tensors: map[string]Tensor{}}
	for _, kv := range meta {
		f.meta[kv.Key] = kv.Value
	}
	for _, t := range tensors {
		f.tensors[t.Name] = t
		f.names = append(f.names, t.Name)
	}
	return f
}

// Entry is one tensor to write. Data is called once, when its turn comes, so that a
// model is never in host memory as a whole; it returns the values in row-major order.
type Entry struct {
	Name  string
	Shape []int // rows first, as Tensor.Shape
	Type  Type
	Data  func() ([]float32, error)
}

// Encode writes a file of version 3 to w, which callers make atomic: metadata and
// tensors in the given order. It refuses rows that are no whole blocks and values that
// the type cannot hold.
func Encode(w io.Writer, meta []KV, entries []Entry) error {
	out := &encoder{w: bufio.NewWriterSize(w, 1<<20)}
	out.bytes([]byte(Magic))
	out.u32(3)
	out.u64(uint64(len(entries)))
	out.u64(uint64(len(meta)))
	for _, kv := range meta {
		out.text(kv.Key)
		out.value(kv.Key, kv.Value)
	}
	offset := int64(0)
	for _, t := range entries {
		if err := out.place(t, &offset); err != nil {
			return err
		}
	}
	out.pad()
	for _, t := range entries {
		if err := out.tensor(t); err != nil {
			return fmt.Errorf("gguf: tensor %s: %w", t.Name, err)
		}
	}
	return out.flush()
}

// encoder writes little-endian and keeps the first error.
type encoder struct {
	w   *bufio.Writer
	at  int64
	err error
	buf []byte
}

func (e *encoder) bytes(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
	e.at += int64(len(b))
}

func (e *encoder) u32(v uint32) { e.bytes(binary.LittleEndian.AppendUint32(nil, v)) }
func (e *encoder) u64(v uint64) { e.bytes(binary.LittleEndian.AppendUint64(nil, v)) }

func (e *encoder) text(s string) {
	e.u64(uint64(len(s)))
	e.bytes([]byte(s))
}

func (e *encoder) flush() error {
	if e.err == nil {
		e.err = e.w.Flush()
	}
	return e.err
}

// pad fills up to the next tensor.
func (e *encoder) pad() { e.bytes(make([]byte, padding(e.at))) }

func padding(n int64) int64 { return (alignment - n%alignment) % alignment }

// place writes a tensor's line of the header.
func (e *encoder) place(t Entry, offset *int64) error {
	f, ok := formats[t.Type]
	if !ok || f.encode == nil {
		return fmt.Errorf("gguf: tensor %s: %v cannot be written", t.Name, t.Type)
	}
	width := 1
	if len(t.Shape) > 0 {
		width = t.Shape[len(t.Shape)-1]
	}
	if width%f.values != 0 {
		return fmt.Errorf("gguf: tensor %s has rows of %d values, %v needs a multiple of %d", t.Name, width, t.Type, f.values)
	}
	e.text(t.Name)
	e.u32(uint32(len(t.Shape)))
	for i := len(t.Shape) - 1; i >= 0; i-- {
		e.u64(uint64(t.Shape[i]))
	}
	e.u32(uint32(t.Type))
	e.u64(uint64(*offset))
	size := int64(Tensor{Shape: t.Shape}.Values()/f.values) * int64(f.bytes)
	*offset += size + padding(size)
	return nil
}

// tensor writes a tensor's blocks.
func (e *encoder) tensor(t Entry) error {
	data, err := t.Data()
	if err != nil {
		return err
	}
	if n := (Tensor{Shape: t.Shape}).Values(); len(data) != n {
		panic(fmt.Sprintf("gguf: write %q: %d values for shape %v", t.Name, len(data), t.Shape))
	}
	for at := 0; at < len(data); at += 1 << 16 { // whole blocks: they have up to 256 values
		if e.buf, err = Quantize(e.buf[:0], data[at:min(at+1<<16, len(data))], t.Type); err != nil {
			return fmt.Errorf("from value %d: %w", at, err)
		}
		e.bytes(e.buf)
	}
	e.pad()
	return e.err
}

// value writes a type and a value; another Go type is the caller's mistake.
func (e *encoder) value(key string, v any) {
	switch v := v.(type) {
	case string:
		e.u32(kindString)
		e.text(v)
	case bool:
		e.u32(kindBool)
		b := byte(0)
		if v {
			b = 1
		}
		e.bytes([]byte{b})
	case uint32:
		e.u32(kindU32)
		e.u32(v)
	case int32:
		e.u32(kindI32)
		e.u32(uint32(v))
	case float32:
		e.u32(kindF32)
		e.u32(math.Float32bits(v))
	case []string:
		list(e, kindString, v, e.text)
	case []int32:
		list(e, kindI32, v, func(x int32) { e.u32(uint32(x)) })
	case []float32:
		list(e, kindF32, v, func(x float32) { e.u32(math.Float32bits(x)) })
	default:
		panic(fmt.Sprintf("gguf: write %s: a %T", key, v))
	}
}

func list[T any](e *encoder, kind uint32, v []T, put func(T)) {
	e.u32(kindArray)
	e.u32(kind)
	e.u64(uint64(len(v)))
	for _, x := range v {
		put(x)
	}
}
