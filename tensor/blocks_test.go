package tensor

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/gguf"
	"concord/internal/optest"
	"concord/internal/ref"
)

// fileType is the same type in a file of llama.cpp.
var fileType = map[DType]gguf.Type{Q4_0: gguf.Q4_0, Q4_1: gguf.Q4_1, Q5_0: gguf.Q5_0, Q5_1: gguf.Q5_1, Q8_0: gguf.Q8_0,
	Q4_K: gguf.Q4_K, Q5_K: gguf.Q5_K, Q6_K: gguf.Q6_K}

// randomBlocks are n values of d: every bit is random, but those that make a scale
// infinite or large. Every third block's scales are subnormal halves.
func randomBlocks(d DType, n int, seed uint64) []byte {
	l := layouts[d]
	out := make([]byte, d.Bytes(int64(n)))
	for i, x := range randomIDs(len(out), 256, seed) {
		out[i] = byte(x)
	}
	halves := map[DType][]int{Q4_1: {0, 2}, Q5_1: {0, 2}, Q4_K: {0, 2}, Q5_K: {0, 2}, Q6_K: {208}}[d]
	if halves == nil {
		halves = []int{0}
	}
	for b := range n / l.block {
		for _, at := range halves {
			h := out[b*int(l.bytes)+at:]
			v := binary.LittleEndian.Uint16(h)&0x83ff | 0x2c00 // magnitudes from 1/16 to 1/8
			if b%3 == 2 {
				v &= 0x83ff
			}
			binary.LittleEndian.PutUint16(h, v)
		}
	}
	return out
}

// blocks uploads random blocks and returns what they decode to.
func blocks(e *Engine, d DType, r, c int, seed uint64) (Tensor, []float32) {
	x := e.NewTyped(gpu.RoleScratch, "blocks", d, r, c)
	raw := randomBlocks(d, r*c, seed)
	e.UploadBlocks(x, raw)
	return x, gguf.Dequantize(raw, fileType[d])
}

// Every value of every type is decoded to the bits of the CPU's dequantisation, which
// are those of Python's gguf package; whole matrices, and rows by their ids.
func TestBlocksAreDecoded(t *testing.T) {
	e := testEngine(t)
	for _, d := range FileTypes() {
		for _, s := range [][2]int{{1, 1}, {3, 1}, {5, 3}} { // rows, blocks; the first have an odd number of halves
			r, c := s[0], s[1]*d.Block()
			x, want := blocks(e, d, r, c, uint64(r))
			got, err := e.Download(x)
			if err != nil {
				t.Fatal(err)
			}
			if i := optest.Bits(got, want); i >= 0 {
				t.Errorf("%v %dx%d: value %d is %v, want %v", d, r, c, i, got[i], want[i])
			}
			ids, rows := randomIDs(7, r+1, 2), make([]float32, 7*c)
			ref.Embedding(rows, want, ids, c)
			out := guarded(e, 7, c)
			e.Embedding(out, x, uploadU32(e, ids))
			if i := optest.Bits(download(t, e, out), rows); i >= 0 {
				t.Errorf("%v %dx%d: embedding differs at %d", d, r, c, i)
			}
			checkGuards(t, e, out)
			x.Buf.Release()
			out.Buf.Release()
		}
	}
}

// Products by blocks as the forward pass (NT) and the gradient of the input (NN) make
// them, in every variant.
func TestMatMulBlocks(t *testing.T) {
	e := testEngine(t)
	for _, name := range []string{"direct-16x4", "direct-8x2", "direct-1x1", "tiled-64", "tiled-32", "direct-4x1-k2"} {
		force(e, name)
		types := []DType{Q5_0, Q6_K} // the accessors' text does not depend on the variant
		if name == "direct-8x2" {
			types = FileTypes()
		}
		for _, d := range types {
			for _, op := range []Trans{NN, NT} {
				for _, s := range [][3]int{{1, 1, 3}, {19, 2, 37}} { // m, blocks in a row of b, rows of b
					checkBlocks(t, e, d, op, s[0], s[1]*d.Block(), s[2])
				}
			}
		}
	}
}

func checkBlocks(t *testing.T, e *Engine, d DType, op Trans, m, width, rows int) {
	t.Helper()
	n, k := rows, width
	if op == NN {
		n, k = width, rows
	}
	ah := optest.Random(m*k, 1)
	b, bh := blocks(e, d, rows, width, 3)
	a, out := upload(e, m, k, ah), guarded(e, m, n)
	e.MatMul(out, a, b, op, false)
	want := make([]float32, m*n)
	ref.MatMul(want, ah, bh, m, n, k, false, op == NT, false)
	if err := optest.Compare(download(t, e, out), want, matmulNMSE); err != nil {
		t.Errorf("%v %v %s %dx%dx%d: %v", d, op, e.tune.opt.Variant, m, n, k, err)
	}
	checkPadding(t, e, out)
	checkGuards(t, e, out)
	for _, x := range []Tensor{a, b, out} {
		x.Buf.Release()
	}
}

// Products are cut by the size of a binding and by the work of a dispatch where a
// part of the blocks can be bound: the result stays.
func TestMatMulBlocksIsCut(t *testing.T) {
	e := testEngine(t)
	force(e, "direct-8x2")
	const m, rows, width = 70, 300, 512
	for _, d := range []DType{Q4_0, Q5_1, Q6_K} { // cut every 128 rows, every 64, blocks of 256
		b, bh := blocks(e, d, rows, width, 4)
		if unit := d.rowUnit(); d.Bytes(int64(unit*width))%bindAlign != 0 || unit > 128 {
			t.Errorf("%v: rows are cut every %d, which is no offset of a binding", d, unit)
		}
		for _, op := range []Trans{NN, NT} {
			n, k := rows, width
			if op == NN {
				n, k = width, rows
			}
			ah, want := optest.Random(m*k, 1), make([]float32, m*n)
			a := upload(e, m, k, ah)
			ref.MatMul(want, ah, bh, m, n, k, false, op == NT, false)
			for _, how := range []string{"whole", "work", "binding"} {
				e.workLimit, e.tune.limit = 0, e.Dev.Info().Limits.MaxStorageBufferBindingSize
				switch how {
				case "work":
					e.workLimit = 1 << 20
				case "binding":
					e.tune.limit = max(b.Bytes()*2/3, a.Bytes()*2/3)
				}
				out := guarded(e, m, n)
				e.MatMul(out, a, b, op, false)
				if err := optest.Compare(download(t, e, out), want, matmulNMSE); err != nil {
					t.Errorf("%v %v cut by %s: %v", d, op, how, err)
				}
				checkGuards(t, e, out)
				out.Buf.Release()
			}
			e.workLimit, e.tune.limit = 0, e.Dev.Info().Limits.MaxStorageBufferBindingSize
			a.Buf.Release()
		}
		b.Buf.Release()
	}
}

// Bytes a weight are the file's, and what is no whole matrix of blocks is refused.
func TestBlockSizes(t *testing.T) {
	e := testEngine(t)
	for d, kind := range fileType {
		if d.Block() != kind.Block() || d.String() != strings.ToLower(kind.String()) ||
			len(randomBlocks(d, d.Block(), 1)) != kind.Bytes() || !d.OfFile() {
			t.Errorf("%v: %d values in %d bytes, the file's %v has %d in %d", d, d.Block(), d.Bytes(int64(d.Block())), kind, kind.Block(),
				kind.Bytes())
		}
	}
	if _, err := ParseDType("q4_0"); err == nil || len(fileType) != len(FileTypes()) || slices.Contains(DTypes(), Q4_0) {
		t.Errorf("a file's type is parsed: %v", err)
	}
	x := e.NewTyped(gpu.RoleScratch, "x", Q4_0, 2, 40)
	for name, f := range map[string]func(){
		"values":      func() { e.Upload(x, make([]float32, 80)) },
		"half a row":  func() { e.UploadBlocks(x, make([]byte, x.Bytes())) },
		"other types": func() { e.UploadBlocks(e.New(gpu.RoleScratch, "y", 1, 32), make([]byte, 128)) },
		"a few bytes": func() { e.UploadBlocks(e.NewTyped(gpu.RoleScratch, "z", Q4_0, 1, 32), make([]byte, 17)) },
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "tensor: ") {
					t.Errorf("%s: %v", name, r)
				}
			}()
			f()
		}()
	}
}
