// Package gguftest writes small GGUF files. Only tests import it.
package gguftest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
)

// Tensor is a float32 tensor, its shape rows first.
type Tensor struct {
	Name   string
	Shape  []int
	Values []float32
}

// Write makes the file at path. Metadata are strings, bools, float32, uint32, or
// slices of string, int32 or float32.
func Write(t testing.TB, path string, meta map[string]any, tensors []Tensor) {
	t.Helper()
	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	text := func(s string) { put(uint64(len(s))); b.WriteString(s) }
	b.WriteString("GGUF")
	put(uint32(3))
	put(uint64(len(tensors)))
	put(uint64(len(meta)))
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		text(key)
		switch v := meta[key].(type) {
		case uint32:
			put(uint32(4))
			put(v)
		case float32:
			put(uint32(6))
			put(v)
		case bool:
			put(uint32(7))
			put(v)
		case string:
			put(uint32(8))
			text(v)
		case []string:
			put([]uint32{9, 8})
			put(uint64(len(v)))
			for _, s := range v {
				text(s)
			}
		case []int32:
			put([]uint32{9, 5})
			put(uint64(len(v)))
			put(v)
		case []float32:
			put([]uint32{9, 6})
			put(uint64(len(v)))
			put(v)
		default:
			t.Fatalf("%s is a %T", key, v)
		}
	}
	offset := uint64(0)
	for _, x := range tensors {
		text(x.Name)
		put(uint32(len(x.Shape)))
		for i := len(x.Shape) - 1; i >= 0; i-- {
			put(uint64(x.Shape[i]))
		}
		put(uint32(0))
		put(offset)
		offset += (uint64(len(x.Values))*4 + 31) / 32 * 32
	}
	b.Write(make([]byte, (32-b.Len()%32)%32))
	for _, x := range tensors {
		for _, v := range x.Values {
			put(math.Float32bits(v))
		}
		b.Write(make([]byte, (32-b.Len()%32)%32))
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
