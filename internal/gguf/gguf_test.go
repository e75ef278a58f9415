package gguf

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const blocks = "testdata/blocks.gguf" // by testdata/generate.py

// Every type is dequantised to the bits of the gguf package.
func TestRead(t *testing.T) {
	f, err := Open(blocks)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for _, name := range f.Names() {
		x, _ := f.Tensor(name)
		w, ok := f.Tensor("want." + name)
		if !ok {
			continue
		}
		n++
		got, err := f.Read(x)
		if err != nil {
			t.Fatal(err)
		}
		want, err := f.Read(w)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) || !slices.Equal(x.Shape, w.Shape) {
			t.Fatalf("%s: %d values of shape %v, want %d of %v", name, len(got), x.Shape, len(want), w.Shape)
		}
		for i := range got {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Errorf("%s: value %d is %v, want %v", name, i, got[i], want[i])
				break
			}
		}
	}
	if n != len(formats) {
		t.Errorf("%d types compared, want %d", n, len(formats))
	}
	if v, err := f.Int("test.number"); err != nil || v != 7 {
		t.Errorf("test.number is %v (%v)", v, err)
	}
	if v, _ := Value[[]string](f, "test.texts"); !slices.Equal(v, []string{"one", "two", ""}) {
		t.Errorf("test.texts is %q", v)
	}
	if v, _ := Value[[]float32](f, "test.floats"); !slices.Equal(v, []float32{0.5, -1.5}) {
		t.Errorf("test.floats is %v", v)
	}
	if v, ok := Value[string](f, "test.number"); ok {
		t.Errorf("test.number as text is %q", v)
	}
	if _, err := f.Int("nothing"); err == nil {
		t.Error("a key that is not there has a value")
	}
}

// A file cut short at any byte is refused.
func TestTruncated(t *testing.T) {
	whole, err := os.ReadFile(blocks)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if n > 4096 && n%97 != 0 { // within the tensors every 97th
			continue
		}
		if f, err := parse(bytes.NewReader(whole[:n]), int64(n)); err == nil && n < len(whole)-64 { // the last tensor's padding
			t.Fatalf("%d of %d bytes are accepted: %v", n, len(whole), f.Names())
		}
	}
}

// file builds headers, right and wrong.
type file struct{ bytes.Buffer }

func (f *file) u32(v uint32) *file { binary.Write(f, binary.LittleEndian, v); return f }
func (f *file) u64(v uint64) *file { binary.Write(f, binary.LittleEndian, v); return f }
func (f *file) text(s string) *file {
	f.u64(uint64(len(s)))
	f.WriteString(s)
	return f
}

func begin(tensors, keys uint64) *file {
	f := &file{}
	f.WriteString(Magic)
	return f.u32(3).u64(tensors).u64(keys)
}

// A hostile header is refused before anything of its sizes is allocated.
func TestHostile(t *testing.T) {
	const most = math.MaxUint64
	for name, c := range map[string]struct {
		f    *file
		want string
	}{
		"no file":              {&file{}, "no GGUF file"},
		"tensors":              {begin(most, 0), "tensors cannot be"},
		"keys":                 {begin(0, 1<<40), "keys cannot be"},
		"long key":             {begin(0, 1).u64(1 << 62), "cannot be"},
		"long text":            {begin(0, 1).text("k").u32(kindString).u64(most).u64(0), "cannot be"},
		"array":                {begin(0, 1).text("k").u32(kindArray).u32(kindF64).u64(1 << 61), "cannot be"},
		"strings":              {begin(0, 1).text("k").u32(kindArray).u32(kindString).u64(1 << 50), "cannot be"},
		"arrays of arrays":     {begin(0, 1).text("k").u32(kindArray).u32(kindArray).u64(1).u32(kindArray), "array of arrays"},
		"unknown type":         {begin(0, 1).text("k").u32(99).u64(0), "unknown type 99"},
		"array of unknown":     {begin(0, 1).text("k").u32(kindArray).u32(13).u64(0), "unknown type 13"},
		"twice":                {begin(0, 2).text("k").u32(kindU32).u32(1).text("k").u32(kindU32).u32(1), "there twice"},
		"dimensions":           {begin(1, 0).text("t").u32(5).u64(1).u64(1).u64(1), "5 dimensions"},
		"overflow":             {begin(1, 0).text("t").u32(2).u64(1 << 33).u64(1 << 33).u32(0).u64(0), "does not fit"},
		"product":              {begin(1, 0).text("t").u32(4).u64(64).u64(64).u64(64).u64(64).u32(0).u64(0), "does not fit"},
		"no values":            {begin(1, 0).text("t").u32(1).u64(0).u32(0).u64(0), "dimension of 0"},
		"tensor type":          {begin(1, 0).text("t").u32(1).u64(4).u32(20).u64(0), "ggml type 20, which is not supported: supported are F32, F16"},
		"odd row":              {begin(1, 0).text("t").u32(1).u64(40).u32(uint32(Q4_0)).u64(0), "multiple of 32"},
		"offset":               {begin(1, 0).text("t").u32(1).u64(4).u32(0).u64(1 << 60), "beyond the file's end"},
		"odd offset":           {begin(1, 0).text("t").u32(1).u64(4).u32(0).u64(1), "no multiple of 32"},
		"beyond the end":       {begin(1, 0).text("t").u32(1).u64(4).u32(0).u64(32), "cut short"},
		"alignment":            {begin(0, 1).text("general.alignment").u32(kindU32).u32(3), "power of two"},
		"alignment of text":    {begin(0, 1).text("general.alignment").u32(kindString).text("8"), "power of two"},
		"version 1":            {&file{*bytes.NewBufferString(Magic + "\x01\x00\x00\x00")}, "version 1"},
		"big-endian version 3": {&file{*bytes.NewBufferString(Magic + "\x00\x00\x00\x03")}, "not supported"},
	} {
		b := append(c.f.Bytes(), make([]byte, 16)...)
		if name == "no file" {
			b = nil
		}
		if _, err := parse(bytes.NewReader(b), int64(len(b))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// TestArraysKeepTheirSize: an array takes no more memory than in the file, whatever its type.
func TestArraysKeepTheirSize(t *testing.T) {
	b := make([]byte, 64)
	for kind, want := range map[uint32]any{kindU8: []uint8{}, kindI8: []int8{}, kindU16: []uint16{}, kindI16: []int16{},
		kindU32: []uint32{}, kindI32: []int32{},
		kindF32: []float32{}, kindBool: []bool{}, kindU64: []uint64{}, kindI64: []int64{}, kindF64: []float64{}} {
		got := reflect.ValueOf(scalars(kind, b))
		if got.Type() != reflect.TypeOf(want) || got.Len() != len(b)/sizes[kind] {
			t.Errorf("type %d: %v of %d values", kind, got.Type(), got.Len())
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil {
		t.Error("a folder opens")
	}
	if _, err := Open(filepath.Join(dir, "none.gguf")); err == nil {
		t.Error("a file that does not exist opens")
	}
}

func FuzzParse(f *testing.F) {
	whole, err := os.ReadFile(blocks)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(begin(1, 1).text("general.alignment").u32(kindU32).u32(32).text("t").u32(1).u64(4).u32(0).u64(0).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parse(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, name := range x.Names() {
			v, _ := x.Tensor(name)
			if _, err := x.Read(v); err != nil {
				t.Fatalf("%s: what parse accepted cannot be read: %v", name, err)
			}
		}
	})
}
