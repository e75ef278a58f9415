package tensor

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// decoded is what data, rows of c values, is after it was stored as d.
func decoded(d DType, data []float32, c int) []float32 {
	out := make([]float32, 0, len(data))
	block := layouts[d].block
	for i := 0; i < len(data); i += c {
		for lo := 0; lo < c; lo += block {
			part := data[i+lo : i+min(c, lo+block)]
			switch d {
			case F32:
				out = append(out, part...)
			case BF16:
				out = append(out, float32(ref.BF16(float64(part[0]))))
			case F16:
				out = append(out, float32(ref.F16(float64(part[0]))))
			case Int8:
				out = append(out, ref.Int8Block(part)...)
			case NF4:
				out = append(out, ref.NF4Block(part)...)
			}
		}
	}
	return out
}

func TestDTypeSizes(t *testing.T) {
	for _, test := range []struct {
		d           DType
		bytes100    int64
		ld100, unit int
	}{{F32, 400, 100, 64}, {BF16, 200, 100, 128}, {F16, 200, 100, 128}, {Int8, 4 * 36, 128, 2048}, {NF4, 2 * 36, 128, 4096}} {
		if got := test.d.Bytes(100); got != test.bytes100 {
			t.Errorf("%v: 100 elements take %d bytes, want %d", test.d, got, test.bytes100)
		}
		if got := test.d.LD(100); got != test.ld100 {
			t.Errorf("%v: leading dimension %d of 100 columns, want %d", test.d, got, test.ld100)
		}
		if got := test.d.columnUnit(); got != test.unit || test.d.Bytes(int64(got))%bindAlign != 0 {
			t.Errorf("%v: a row is bound from every %d elements on, want %d", test.d, got, test.unit)
		}
		if n := test.d.Bytes(64 * 7); test.d.Elements(n) != 64*7 {
			t.Errorf("%v: %d bytes hold %d elements, want %d", test.d, n, test.d.Elements(n), 64*7)
		}
		if d, err := ParseDType(test.d.String()); err != nil || d != test.d {
			t.Errorf("%v parses to %v, %v", test.d, d, err)
		}
	}
	if _, err := ParseDType("fp8"); err == nil || !strings.Contains(err.Error(), "use f32, bf16") {
		t.Errorf("error %v for fp8, want the list of types", err)
	}
}

// TestEncode holds Encode and Decode to the float64 twins, on values of every size
// and at every rounding boundary.
func TestEncode(t *testing.T) {
	var data []float32
	for e := -140; e < 128; e++ {
		for _, f := range []float64{1, 1 + 1.0/128, 1 + 1.0/256, 1 + 3.0/256, 1 + 1.0/1024, 1 + 1.0/2048, 1 + 3.0/2048, 1.99999, -1.2345} {
			data = append(data, float32(math.Ldexp(f, e)))
		}
	}
	data = append(data, optest.Random(63, 3)...)
	data = append(data, 0, float32(math.Copysign(0, -1)), 65504, 65519, 65520, -65536, math.MaxFloat32)
	data = data[:len(data)/64*64]
	for _, d := range DTypes() {
		b := d.Encode(data)
		if int64(len(b)) != d.Bytes(int64(len(data))) {
			t.Errorf("%v: %d values take %d bytes, want %d", d, len(data), len(b), d.Bytes(int64(len(data))))
		}
		got, want := d.Decode(b), decoded(d, data, len(data))
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%v: %v is stored as %v, want %v", d, data[i], got[i], want[i])
			}
		}
	}
	for _, d := range []DType{F32, BF16, F16} {
		for _, x := range []float32{float32(math.NaN()), math.Float32frombits(0x7f800001), float32(math.Inf(1)), float32(math.Inf(-1))} {
			if got := d.Decode(d.Encode([]float32{x}))[0]; got != x && !(got != got && x != x) {
				t.Errorf("%v: %v is stored as %v", d, x, got)
			}
		}
	}
	for _, d := range []DType{Int8, NF4} {
		for _, x := range []float32{float32(math.NaN()), float32(math.Inf(1))} {
			block := make([]float32, layouts[d].block)
			block[5] = x
			if got := d.Decode(d.Encode(block))[5]; got == got {
				t.Errorf("%v: a block with %v decodes to %v, want NaN", d, x, got)
			}
		}
	}
}

// typed uploads data as type d between guard words.
func typed(e *Engine, d DType, r, c int, data []float32) Tensor {
	x := e.NewTyped(gpu.RoleScratch, "typed", d, r, c)
	e.Upload(x, data)
	return x
}

// TestMatMulTyped multiplies by weights of every type and in every variant of the
// kernels, as the forward (NT) and the gradient of the input (NN) do, and TN. The
// decoded values are exact, so the bound is that of float32 operands.
func TestMatMulTyped(t *testing.T) {
	e := testEngine(t)
	shapes := [][3]int{{1, 1, 1}, {3, 5, 2}, {17, 67, 33}, {33, 130, 64}, {7, 65, 131}}
	for _, name := range []string{"direct-16x4", "direct-8x2", "direct-1x1", "tiled-64", "tiled-32", "direct-4x1-k2"} {
		force(e, name)
		types := []DType{BF16, Int8} // of words and of blocks: the accessors' text does not depend on the variant
		switch name {
		case "direct-8x2":
			types = DTypes()[1:]
		case "tiled-32": // tiles, too, of values that share a byte
			types = append(types, NF4)
		}
		for _, d := range types {
			ops := []Trans{NN, NT}
			if d == Int8 {
				ops = append(ops, TN) // no weight stands there: one type is enough
			}
			for _, op := range ops {
				for _, s := range shapes {
					checkTyped(t, e, d, op, s[0], s[1], s[2])
				}
			}
		}
	}
}

func checkTyped(t *testing.T, e *Engine, d DType, op Trans, m, n, k int) {
	t.Helper()
	ar, ac, br, bc := matmulOperands(op, m, n, k)
	ah, bh := optest.Random(ar*ac, 1), optest.Random(br*bc, 2)
	a, b, out := upload(e, ar, ac, ah), typed(e, d, br, bc, bh), guarded(e, m, n)
	e.MatMul(out, a, b, op, false)
	got := download(t, e, out)
	checkPadding(t, e, out)
	checkGuards(t, e, out)
	want := make([]float32, m*n)
	ta, tb := transposed(op)
	ref.MatMul(want, ah, decoded(d, bh, bc), m, n, k, ta, tb, false)
	if err := optest.Compare(got, want, matmulNMSE); err != nil {
		t.Errorf("%v %v %s %dx%dx%d: %v", d, op, e.tune.opt.Variant, m, n, k, err)
	}
	for _, x := range []Tensor{a, b, out} {
		x.Buf.Release()
	}
}

// TestMatMulTypedIsCut cuts products of every type by the size of a binding and by
// the work of a dispatch: the bits stay.
func TestMatMulTypedIsCut(t *testing.T) {
	e := testEngine(t)
	const m, n, k = 70, 200, 4500 // a row of b has more than one unit of every type
	for _, d := range DTypes() {
		for _, op := range []Trans{NN, NT} {
			force(e, "direct-8x2")
			ar, ac, br, bc := matmulOperands(op, m, n, k)
			if op == NN {
				br, bc = n, k // the longer side of b along its rows
				ac = n
			}
			a, b := upload(e, ar, ac, optest.Random(ar*ac, 1)), typed(e, d, br, bc, optest.Random(br*bc, 2))
			cols := n
			if op == NN {
				cols = k
			}
			var first []float32
			for _, how := range []string{"whole", "work", "binding"} {
				e.workLimit, e.tune.limit = 0, e.Dev.Info().Limits.MaxStorageBufferBindingSize
				switch how {
				case "work":
					e.workLimit = 1 << 20
				case "binding":
					e.tune.limit = b.Bytes() / 3
				}
				out := guarded(e, m, cols)
				e.MatMul(out, a, b, op, false)
				got := download(t, e, out)
				checkGuards(t, e, out)
				if first == nil {
					first = got
				}
				if err := optest.Compare(got, first, 1e-12); err != nil {
					t.Errorf("%v %v cut by %s: %v", d, op, how, err)
				}
				if i := optest.Bits(got, first); how == "work" && i >= 0 {
					t.Errorf("%v %v cut by work: bits differ at %d", d, op, i)
				}
				out.Buf.Release()
			}
			e.workLimit = 0
			a.Buf.Release()
			b.Buf.Release()
		}
	}
}

// quantNMSE bounds the error of a product by weights, uniform in [-1, 1), that are
// stored as each type: the relative mean square of the rounding.
var quantNMSE = map[DType]float64{F32: matmulNMSE, BF16: 4e-6, F16: 1e-7, Int8: 3e-5, NF4: 2e-2}

func TestMatMulQuantisationError(t *testing.T) {
	e := testEngine(t)
	const m, n, k = 16, 96, 256
	ah, bh := optest.Random(m*k, 1), optest.Random(n*k, 2)
	want := make([]float32, m*n)
	ref.MatMul(want, ah, bh, m, n, k, false, true, false)
	a, out := upload(e, m, k, ah), e.New(gpu.RoleScratch, "out", m, n)
	for _, d := range DTypes() {
		e.MatMul(out, a, typed(e, d, n, k, bh), NT, false)
		got := optest.NMSE(download(t, e, out), want)
		if bound := quantNMSE[d]; got > bound || d != F32 && got < bound/100 {
			t.Errorf("%v: NMSE %.3g of a product, bound %.3g", d, got, bound)
		}
	}
}

func TestEmbeddingTyped(t *testing.T) {
	e := testEngine(t)
	const n, v, c = 9, 13, 70
	table, ids, want := optest.Random(v*c, 1), randomIDs(n, v+1, 2), make([]float32, n*c)
	for _, d := range DTypes() {
		ref.Embedding(want, decoded(d, table, c), ids, c)
		out := guarded(e, n, c)
		e.Embedding(out, typed(e, d, v, c, table), uploadU32(e, ids))
		if err := optest.Compare(download(t, e, out), want, 0); err != nil {
			t.Errorf("%v: %v", d, err)
		}
		checkPadding(t, e, out)
		checkGuards(t, e, out)
	}
}

// An operation that does not decode refuses a tensor of another type.
func TestTypedIsRefused(t *testing.T) {
	e := testEngine(t)
	x, y, z := e.New(gpu.RoleScratch, "x", 2, 4), e.NewTyped(gpu.RoleScratch, "y", BF16, 2, 4), e.New(gpu.RoleScratch, "z", 4, 4)
	for name, f := range map[string]func(){
		"add":    func() { e.Add(x, x, y) },
		"matmul": func() { e.MatMul(z, y, x, TN, false) },
		"upload": func() { e.UploadU32(y, make([]uint32, 8)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of a bf16 tensor did not panic", name)
				}
			}()
			f()
		}()
	}
}

// literalFour lists where a 4 that is multiplied or divided by is no size of an
// element, as "file: expression".
var literalFour = map[string]bool{
	"../gpu/memory.go: ram / 4":                                         true, // a fraction of the memory
	"../gpu/memory.go: n / 5 * 4":                                       true, // likewise
	"../gpu/bandwidth.go: (d.Memory().Budget - d.Memory().Current) / 4": true, // likewise
	"../gpu/wait.go: p * 5 / 4":                                         true, // a longer pause
	"../gpu/stream.go: 4 * submitTarget":                                true, // a longer time
	"../gpu/transfer.go: n / 4":                                         true, // 4 GB/s
	"../internal/model/config_read.go: 4 * c.Hidden":                    true, // GPT-2's MLP is four times as wide
	"elementwise.go: 4 * len(used)":                                     true, // operations
	"ghost.go: 4 * int64((hi - lo) * hi)":                               true, // operations
	"ghost.go: 4 * int64(n)":                                            true, // operations
	"dora.go: 2 * int64(w.R) * int64(min(c4, step)) * 4":                true, // operations
	"vocabulary.go: 4 * e.GhostSums(m)":                                 true, // four sums
	"ghost.go: 4 * nf":                                                  true, // operands
}

// TestSizesComeFromTheType finds a literal 4 that is multiplied or divided by: the
// size of an element is DType.Bytes.
func TestSizesComeFromTheType(t *testing.T) {
	found := map[string]bool{}
	for _, dir := range []string{"../gpu", ".", "../bucket", "../internal/model"} {
		paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files, %v", dir, len(paths), err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			for _, x := range fours(t, path) {
				found[path+": "+x] = true
				if !literalFour[path+": "+x] {
					t.Errorf("%s: %s: take the size of an element from its DType", path, x)
				}
			}
		}
	}
	for x := range literalFour {
		if !found[x] {
			t.Errorf("the list of literal fours has %q, which does not exist", x)
		}
	}
}

// fours are the products and quotients of path with a literal 4 on one side.
func fours(t *testing.T, path string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	four := func(x ast.Expr) bool {
		lit, ok := x.(*ast.BasicLit)
		return ok && lit.Value == "4"
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if b, ok := n.(*ast.BinaryExpr); ok && (b.Op == token.MUL || b.Op == token.QUO) && (four(b.X) || four(b.Y)) {
			out = append(out, exprString(b))
		}
		return true
	})
	return out
}

// exprString prints arithmetic with spaces around every operator.
func exprString(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.BinaryExpr:
		return fmt.Sprintf("%s %s %s", exprString(x.X), x.Op, exprString(x.Y))
	case *ast.ParenExpr:
		return "(" + exprString(x.X) + ")"
	case *ast.Ident:
		return x.Name
	case *ast.BasicLit:
		return x.Value
	case *ast.SelectorExpr:
		return exprString(x.X) + "." + x.Sel.Name
	case *ast.CallExpr:
		args := make([]string, len(x.Args))
		for i, a := range x.Args {
			args[i] = exprString(a)
		}
		return exprString(x.Fun) + "(" + strings.Join(args, ", ") + ")"
	}
	return fmt.Sprintf("%T", x)
}
