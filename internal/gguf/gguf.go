// Package gguf reads the model files of llama.cpp (GGUF, versions 2 and 3):
// metadata and tensors, the quantised ones as float32. Nothing in a file is
// believed: counts, types, shapes and offsets are held against the file's size
// before anything of theirs is allocated.
//
// Tensors are read piece by piece and not by a memory map, as a file that is cut
// short by someone else would then end the process instead of being an error.
package gguf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// Magic is how a file begins.
const Magic = "GGUF"

// File is an open file. Its methods may be called from several goroutines.
type File struct {
	Path    string
	meta    map[string]any
	tensors map[string]Tensor
	names   []string
	data    int64 // where the tensors begin
	size    int64
	r       io.ReaderAt
	close   func() error
}

// Tensor is one tensor's place in a file.
type Tensor struct {
	Name   string
	Type   Type
	Shape  []int // rows first: (out, in) of a matrix, as Hugging Face has it
	offset int64 // from File.data
	bytes  int64
}

// Values is the number of values.
func (t Tensor) Values() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Open reads the file's header. The error names the file and the fault.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("gguf: %w", err)
	}
	if info.IsDir() {
		f.Close()
		return nil, fmt.Errorf("gguf: %s is a folder", path)
	}
	out, err := parse(f, info.Size())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("gguf: %s: %w", path, err)
	}
	out.Path, out.close = path, f.Close
	return out, nil
}

// Close releases the file.
func (f *File) Close() error { return f.close() }

// Names lists the tensors in the order of the file.
func (f *File) Names() []string { return f.names }

// Tensor returns the tensor called name.
func (f *File) Tensor(name string) (Tensor, bool) {
	t, ok := f.tensors[name]
	return t, ok
}

// ErrMissing is in the chain of the error for a key that is not there.
var ErrMissing = errors.New("is not there")

// Value is a metadata value as a T: string, bool, float32, float64, an integer
// type of the file's, or a slice of one of these. ok is false when there is none or
// it is of another type.
func Value[T any](f *File, key string) (v T, ok bool) {
	v, ok = f.meta[key].(T)
	return v, ok
}

// Int is a whole number of any of the file's integer types.
func (f *File) Int(key string) (int, error) {
	v, ok := f.meta[key]
	if !ok {
		return 0, fmt.Errorf("%s %w", key, ErrMissing)
	}
	n, ok := whole(v)
	if !ok {
		return 0, fmt.Errorf("%s is %.40v, not a whole number", key, v)
	}
	return n, nil
}

func whole(v any) (int, bool) {
	switch v := v.(type) {
	case uint8:
		return int(v), true
	case int8:
		return int(v), true
	case uint16:
		return int(v), true
	case int16:
		return int(v), true
	case uint32:
		return int(v), true
	case int32:
		return int(v), true
	case uint64:
		return int(v), v <= 1<<53
	case int64:
		return int(v), v >= -1<<53 && v <= 1<<53
	}
	return 0, false
}

// Float is a number of any type.
func (f *File) Float(key string) (float64, error) {
	switch v := f.meta[key].(type) {
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	}
	n, err := f.Int(key)
	return float64(n), err
}

// Read returns the tensor's values as float32, row-major, as dequantised by the
// gguf package of Python, bit for bit.
func (f *File) Read(t Tensor) ([]float32, error) {
	out := make([]float32, t.Values())
	format := formats[t.Type]
	const blocks = 4096 // at a time
	buf := make([]byte, blocks*format.bytes)
	for done, at := 0, f.data+t.offset; done < len(out); {
		n := min(blocks, (len(out)-done)/format.values)
		piece := buf[:n*format.bytes]
		if _, err := f.r.ReadAt(piece, at); err != nil {
			return nil, fmt.Errorf("gguf: %s: tensor %s: %w", f.Path, t.Name, unexpected(err))
		}
		for b := range n {
			format.decode(out[done+b*format.values:][:format.values], piece[b*format.bytes:][:format.bytes])
		}
		done += n * format.values
		at += int64(len(piece))
	}
	return out, nil
}

// Dequantize returns the values of blocks of t, whole ones.
func Dequantize(blocks []byte, t Type) []float32 {
	f := formats[t]
	out := make([]float32, len(blocks)/f.bytes*f.values)
	for b := range len(blocks) / f.bytes {
		f.decode(out[b*f.values:][:f.values], blocks[b*f.bytes:][:f.bytes])
	}
	return out
}

// Blocks returns the tensor's blocks as they stand in the file.
func (f *File) Blocks(t Tensor) ([]byte, error) {
	out := make([]byte, t.bytes)
	if _, err := f.r.ReadAt(out, f.data+t.offset); err != nil {
		return nil, fmt.Errorf("gguf: %s: tensor %s: %w", f.Path, t.Name, unexpected(err))
	}
	return out, nil
}

// unexpected makes an early end of the file an error that says so.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the file ends too early: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// Hash is the SHA-256, in hexadecimal, of all that stands before the tensors, metadata,
// names, types and shapes, and of the tensors called names, where they are there.
func (f *File) Hash(names ...string) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, io.NewSectionReader(f.r, 0, min(f.data, f.size)))
	for _, name := range names {
		if t, ok := f.tensors[name]; ok && err == nil {
			_, err = io.Copy(h, io.NewSectionReader(f.r, f.data+t.offset, t.bytes))
		}
	}
	if err != nil {
		return "", fmt.Errorf("gguf: %s: %w", f.Path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
