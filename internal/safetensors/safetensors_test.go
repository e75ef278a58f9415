package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func entry(name string, d DType, shape []int, v ...float32) Entry {
	return Entry{Name: name, DType: d, Shape: shape, Data: func() ([]float32, error) { return v, nil }}
}

func sample() []Entry {
	return []Entry{
		entry("b.weight", BF16, []int{3}, 1, -2.5, 0.00390625),
		entry("a.weight", F32, []int{2, 3}, 1, 2, 3, 4, 5, float32(math.Pi)),
		entry("half", F16, []int{1, 2}, 65504, -5.9604645e-8),
		entry("scalar", F32, nil, 7),
		entry("empty", F32, []int{0, 4}),
	}
}

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, SingleFile)
	if err := Write(path, sample(), map[string]string{"step": "3"}); err != nil {
		t.Fatal(err)
	}
	first, _ := os.ReadFile(path)
	if n := binary.LittleEndian.Uint64(first); n%8 != 0 {
		t.Errorf("header of %d bytes is not padded to 8", n)
	}
	var b bytes.Buffer
	if err := Encode(&b, sample(), map[string]string{"step": "3"}); err != nil || !bytes.Equal(first, b.Bytes()) {
		t.Errorf("Encode differs from Write (%v)", err)
	}
	shuffled := sample()
	slices.Reverse(shuffled)
	if err := Write(path, shuffled, map[string]string{"step": "3"}); err != nil {
		t.Fatal(err)
	}
	if second, _ := os.ReadFile(path); !bytes.Equal(first, second) {
		t.Error("the order of the entries changes the bytes")
	}
	for _, p := range []string{path, dir} {
		r, err := Open(p)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got := strings.Join(r.Names(), " "); got != "a.weight b.weight empty half scalar" {
			t.Errorf("names %q", got)
		}
		if m := r.Metadata(); m["format"] != "pt" || m["step"] != "3" {
			t.Errorf("metadata %v", m)
		}
		for _, e := range sample() {
			want, _ := e.Data()
			got, err := r.ReadFloat32(e.Name)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v (%v)", e.Name, got, want, err)
			}
			if i, ok := r.Tensor(e.Name); !ok || !slices.Equal(i.Shape, e.Shape) || i.DType != e.DType {
				t.Errorf("%s: %+v", e.Name, i)
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*tmp*")); len(left) > 0 {
		t.Errorf("temporary files left: %v", left)
	}
}

func TestEveryTruncation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.safetensors")
	if err := Write(path, sample(), nil); err != nil {
		t.Fatal(err)
	}
	whole, _ := os.ReadFile(path)
	for n := range whole {
		if _, _, err := readHeader(bytes.NewReader(whole[:n]), "x", int64(n)); err == nil {
			t.Fatalf("a file cut at byte %d of %d is accepted", n, len(whole))
		}
	}
	long := append(slices.Clone(whole), 0)
	if _, _, err := readHeader(bytes.NewReader(long), "x", int64(len(long))); err == nil {
		t.Error("a file with a byte too much is accepted")
	}
}

// file builds a raw file from header text and a number of data bytes.
func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestRefusals(t *testing.T) {
	const a = `"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	for _, c := range []struct {
		header string
		data   int
		want   string // "" = accepted
	}{
		{`{` + a + `}`, 8, ""},
		{`{` + a + `}    `, 8, ""},
		{`{}`, 0, ""},
		{`{"a":{"shape":[],"data_offsets":[0,8],"dtype":"I64"}}`, 8, ""},
		{`{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}`, 2, ""},
		{` {` + a + `}`, 8, "does not start with '{'"},
		{`{` + a + `}x`, 8, "after the JSON object"},
		{`{` + a + `,` + a + `}`, 8, `key "a" appears twice`},
		{`{` + a + `,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12, `tensor "b" starts at byte`},
		{`{` + a + `,"b":{"dtype":"F32","shape":[2],"data_offsets":[12,20]}}`, 20, "leaving a hole"},
		{`{` + a + `}`, 12, "belong to no tensor"},
		{`{` + a + `}`, 4, "cut short"},
		{`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8, "needs 12"},
		{`{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}`, 8, `unknown dtype "F33"`},
		{`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8, "not a valid size"},
		{`{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}`, 8, "not a valid size"},
		{`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0, "impossible"},
		{`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8, "not [begin, end]"},
		{`{"a":{"dtype":"F32","shape":[2]}}`, 8, "needs dtype, shape and data_offsets"},
		{`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8, `unknown key "x"`},
		{`{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8, "appears twice"},
		{`{"__metadata__":{"a":1},` + a + `}`, 8, "is not a string"},
		{`{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}`, 2, "whole number"},
		{"{\"\xff\":{}}", 0, "UTF-8"},
		{`{"a":7}`, 0, "object should be"},
		{`{"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}}`, 8, "dtype is not a string"},
	} {
		b := file(c.header, c.data)
		_, _, err := readHeader(bytes.NewReader(b), "f.safetensors", int64(len(b)))
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", c.header, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "f.safetensors")) {
			t.Errorf("%s: error %v, want one with %q", c.header, err, c.want)
		}
	}
	huge := binary.LittleEndian.AppendUint64(nil, 1<<40)
	if _, _, err := readHeader(bytes.NewReader(huge), "f", 8); err == nil || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("header length 2^40: %v", err)
	}
}

func TestReadRefusesOtherTypes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	os.WriteFile(path, file(`{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}`, 2), 0o644)
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.ReadFloat32("a"); err == nil || !strings.Contains(err.Error(), "F8_E4M3") {
		t.Errorf("error %v does not name the type", err)
	}
	if _, err := r.ReadFloat32("b"); err == nil {
		t.Error("reading a missing tensor succeeds")
	}
}

func TestSharded(t *testing.T) {
	dir := t.TempDir()
	if err := WriteModel(dir, sample(), nil, 0); err != nil {
		t.Fatal(err)
	}
	if err := WriteModel(dir, sample(), nil, 24); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, SingleFile)); err == nil {
		t.Error("the single file of the first save is still there")
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.files) < 2 || len(r.Names()) != len(sample()) {
		t.Errorf("%d files, names %v", len(r.files), r.Names())
	}
	r.Close()
	index := filepath.Join(dir, IndexFile)
	good, _ := os.ReadFile(index)
	for _, c := range [][2]string{
		{`"a.weight"`, `"z.weight"`}, // places a tensor that does not exist
		{`00001-of`, `00009-of`},     // names a file that does not exist
		{`model-00001`, `../model-00001`},
		{`"weight_map"`, `"map"`},
		{`{`, `[`},
	} {
		os.WriteFile(index, bytes.ReplaceAll(good, []byte(c[0]), []byte(c[1])), 0o644)
		if _, err := Open(dir); err == nil {
			t.Errorf("index with %s → %s is accepted", c[0], c[1])
		}
	}
	if err := WriteModel(dir, sample(), nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(index); err == nil {
		t.Error("the index of the sharded save is still there")
	}
}

// TestReplaceModel saves one model over another in every pair of layouts, failing
// at each tensor: what can be loaded afterwards is the old or the new, never both.
func TestReplaceModel(t *testing.T) {
	model := func(n int, value float32, fail int) []Entry {
		var out []Entry
		for i := range n {
			out = append(out, Entry{Name: fmt.Sprintf("t%d", i), Shape: []int{4}, DType: F32, Data: func() ([]float32, error) {
				if i == fail {
					return nil, errors.New("device gone")
				}
				return []float32{value, value, value, value}, nil
			}})
		}
		return out
	}
	content := func(dir string) map[float32]bool {
		r, err := Open(dir)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a damaged model is left: %v", err)
			}
			return nil
		}
		defer r.Close()
		out := map[float32]bool{}
		for _, name := range r.Names() {
			v, err := r.ReadFloat32(name)
			if err != nil {
				t.Fatal(err)
			}
			out[v[0]] = true
		}
		return out
	}
	const fresh, shards = 5, 20
	for _, c := range []struct {
		tensors    int
		old, fresh int64
	}{{fresh, shards, shards}, {3, shards, shards}, {3, 0, shards}, {3, shards, 0}, {3, 0, 0}} {
		for fail := range fresh + 1 {
			dir := t.TempDir()
			if err := WriteModel(dir, model(c.tensors, 1, -1), nil, c.old); err != nil {
				t.Fatal(err)
			}
			keep := filepath.Join(dir, "model-00001-of-00002.safetensors.bak")
			os.WriteFile(keep, nil, 0o644)
			err := WriteModel(dir, model(fresh, 2, fail), nil, c.fresh)
			got := content(dir)
			if (err == nil) != (fail == fresh) || len(got) > 1 || err == nil && !got[2] {
				t.Errorf("%+v, failing at %d: error %v, loaded values %v", c, fail, err, got)
			}
			if _, err := os.Stat(keep); err != nil {
				t.Errorf("a file of the user is gone: %v", err)
			}
			files, _ := filepath.Glob(filepath.Join(dir, "*.safetensors"))
			if want := map[bool]int{true: 1, false: fresh}[c.fresh == 0]; err == nil && len(files) != want {
				t.Errorf("%+v: %d files, want %d", c, len(files), want)
			}
		}
	}
}

func TestWriteErrorsKeepTheOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, SingleFile)
	if err := Write(path, sample(), nil); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	failing := entry("x", F32, []int{1})
	failing.Data = func() ([]float32, error) { return nil, fmt.Errorf("device lost") }
	for _, c := range []struct {
		e    Entry
		want string
	}{
		{entry("big.weight", F16, []int{2}, 1, 65520), `tensor "big.weight", from value 0: value 1 is 65520`},
		{entry("big.weight", BF16, []int{1}, math.MaxFloat32), "beyond the range of BF16"},
		{entry("x", "F64", []int{1}, 1), "cannot be written"},
		{entry("a.weight", F32, []int{1}, 1), "taken"},
		{failing, "device lost"},
	} {
		err := Write(path, append(sample(), c.e), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a failed write changed the file")
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("a failed write left files: %v", files)
	}
	if err := Write(filepath.Join(dir, "no", "x"), sample(), nil); err == nil {
		t.Error("writing into a missing folder succeeds")
	}
}

func TestHalfTypes(t *testing.T) {
	// Every half value survives float32 and back; NaN stays NaN.
	for h := range 1 << 16 {
		h := uint16(h)
		if f := fromF16(h); f != f {
			if g := F16Bits(f); g&0x7c00 != 0x7c00 || g&0x3ff == 0 {
				t.Fatalf("f16 NaN %#x became %#x", h, g)
			}
		} else if F16Bits(f) != h {
			t.Fatalf("f16 %#x → %v → %#x", h, f, F16Bits(f))
		}
		f := math.Float32frombits(uint32(h) << 16)
		if f == f && BF16Bits(f) != h {
			t.Fatalf("bf16 %#x → %v → %#x", h, f, BF16Bits(f))
		}
	}
	// Between neighbours: nearest, ties to the even significand.
	for h := uint16(0); h < 0x7bff; h++ {
		lo, hi := float64(fromF16(h)), float64(fromF16(h+1))
		mid := float32((lo + hi) / 2)
		even := h + h&1
		if got := F16Bits(mid); got != even {
			t.Fatalf("f16 tie between %#x and %#x gives %#x", h, h+1, got)
		}
		if F16Bits(math.Nextafter32(mid, 0)) != h || F16Bits(math.Nextafter32(mid, 1e9)) != h+1 {
			t.Fatalf("f16 near the middle of %#x and %#x rounds wrong", h, h+1)
		}
	}
	for h := uint16(0); h < 0x7f7f; h++ {
		mid := math.Float32frombits(uint32(h)<<16 | 0x8000)
		if got := BF16Bits(mid); got != h+h&1 {
			t.Fatalf("bf16 tie above %#x gives %#x", h, got)
		}
		if BF16Bits(math.Nextafter32(mid, 0)) != h || BF16Bits(math.Nextafter32(mid, math.MaxFloat32)) != h+1 {
			t.Fatalf("bf16 near the middle above %#x rounds wrong", h)
		}
	}
	for _, d := range []DType{F16, BF16} {
		if b, err := encode(nil, []float32{float32(math.Inf(-1))}, d); err != nil || b[1] < 0xf8>>1 {
			t.Errorf("%s of -Inf: %x, %v", d, b, err)
		}
	}
}

func TestCheckFinite(t *testing.T) {
	if err := CheckFinite("w", []float32{0, math.MaxFloat32, -1e-45}); err != nil {
		t.Error(err)
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		err := CheckFinite("model.norm.weight", []float32{0, bad})
		if err == nil || !strings.Contains(err.Error(), `"model.norm.weight": value 1 of 2`) {
			t.Errorf("%v: error %v", bad, err)
		}
	}
}

func TestParseDType(t *testing.T) {
	for s, want := range map[string]DType{"bf16": BF16, "float16": F16, "torch.float32": F32} {
		if d, err := ParseDType(s); err != nil || d != want {
			t.Errorf("%s: %v, %v", s, d, err)
		}
	}
	if _, err := ParseDType("int8"); err == nil || !strings.Contains(err.Error(), "int8") {
		t.Errorf("int8: %v", err)
	}
	if BF16.Torch() != "bfloat16" {
		t.Error(BF16.Torch())
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}`, 8))
	f.Add(file(`{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[],"data_offsets":[0,2]}}  `, 2))
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		infos, _, err := readHeader(bytes.NewReader(b), "f", int64(len(b)))
		if err != nil {
			return
		}
		at := int64(8 + binary.LittleEndian.Uint64(b))
		for _, i := range infos { // what is accepted tiles the file
			n, err := byteSize(i.DType, i.Shape)
			if err != nil || i.Begin != at || i.End != at+n {
				t.Fatalf("accepted %+v at %d (%v)", i, at, err)
			}
			at = i.End
		}
		if at != int64(len(b)) {
			t.Fatalf("tensors end at %d of %d", at, len(b))
		}
	})
}

// A pointer of git-lfs in the place of the weights is said by its name.
func TestOpenPointer(t *testing.T) {
	path := filepath.Join(t.TempDir(), SingleFile)
	if err := os.WriteFile(path, []byte("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 269062936\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "git-lfs pointer") ||
		!strings.Contains(err.Error(), "git lfs pull") {
		t.Errorf("error %v", err)
	}
}
