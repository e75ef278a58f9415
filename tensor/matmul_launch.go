package tensor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"concord/gpu"
)

// product is one matrix product whose operands each fit one binding.
type product struct {
	op           string // "NN", "NT", "TN", or "SEG": TN per objective
	m, n         int
	kBegin, kEnd int
	a, b, out    gpu.View
	bType        DType // of b; a and out are F32
	lda, ldb     int
	ldc          int
	segments     gpu.View // SEG: the starts
	objectives   int      // 1 but for SEG
	stride       int      // elements between the objectives of out
	accumulate   bool
}

// matmulParams is struct Params of the matmul kernels.
type matmulParams struct {
	M, N, KBegin, KEnd, LDA4, LDB4, LDC4, Segmented, KPer, OutStride4 uint32
}

type splitParams struct{ N4, Slices, Accumulate uint32 }

// variant is one way to run a product. Its name is that of its table entry, with
// "-k4" after it when it splits K in four.
type variant struct {
	name       string
	kernel     string // of NN and NT
	kernelT    string // of TN and SEG
	rows, cols int    // tile of out, elements
	perGroup   int    // tiles per workgroup; 0 = workgroupTiles
	slices     int    // of K
	sized      bool   // the kernel has overrides ROWS and COLS
}

// variants is the table of kernels, fastest on large shapes first.
var variants = []variant{
	{name: "direct-16x4", kernel: "matmul_direct", kernelT: "matmul_direct_tn", rows: 16, cols: 16},
	{name: "direct-8x2", kernel: "matmul_small", rows: 8, cols: 8, sized: true},
	{name: "direct-8x1", kernel: "matmul_small", rows: 8, cols: 4, sized: true},
	{name: "direct-4x2", kernel: "matmul_small", rows: 4, cols: 8, sized: true},
	{name: "direct-4x1", kernel: "matmul_small", rows: 4, cols: 4, sized: true},
	{name: "direct-1x1", kernel: "matmul_small", rows: 1, cols: 4, sized: true},
	{name: "tiled-64", kernel: "matmul_tiled64", rows: 64, cols: 64, perGroup: 1},
	{name: "tiled-32", kernel: "matmul_tiled32", rows: 32, cols: 32, perGroup: 1},
}

// maxSlices bounds a split of K.
const maxSlices = 64

// Variants lists the names that Options.Variant accepts. "-k2" to "-k64" after a
// name splits long sums over K into that many parts, added in a fixed order, or fewer of large products.
func (e *Engine) Variants() []string { return variantNames() }

func variantNames() []string {
	var names []string
	for _, v := range variants {
		names = append(names, v.name)
	}
	return names
}

// parseVariant finds the variant called name and fits it to op: direct-1x1 has
// no transposed form, direct-4x1 stands in for it.
func parseVariant(name, op string) (variant, error) {
	base, split, found := name, "", false
	if i := strings.LastIndex(name, "-k"); i >= 0 {
		base, split, found = name[:i], name[i+2:], true
	}
	if base == "direct-1x1" && (op == "TN" || op == "SEG") {
		base = "direct-4x1"
	}
	i := slices.IndexFunc(variants, func(v variant) bool { return v.name == base })
	if i < 0 {
		return variant{}, fmt.Errorf("tensor: no matmul variant named %q; there are %s", name, strings.Join(variantNames(), ", "))
	}
	v := variants[i]
	v.slices = 1
	if found {
		n, err := strconv.Atoi(split)
		if err != nil || n < 2 || n > maxSlices {
			return variant{}, fmt.Errorf("tensor: matmul variant %q: the split must be -k2 to -k%d", name, maxSlices)
		}
		v.slices = n
		v.name = fmt.Sprintf("%s-k%d", base, n)
	}
	return v, nil
}

// consts are the override values of v's kernel for op, and the tiles per workgroup.
func (v variant) consts(op string, b DType, accumulate, cpu bool) (kernel string, c map[string]string, perGroup int) {
	c = map[string]string{}
	transA := op == "TN" || op == "SEG"
	kernel, perGroup = v.kernel, v.perGroup
	if accumulate {
		c["ACCUMULATE"] = "1"
	}
	if b != F32 {
		c["B"] = b.String()
	}
	if perGroup == 0 {
		// A CPU rasterizer runs 8 invocations side by side and balances better
		// with small workgroups; a GPU wants at least one full subgroup.
		if perGroup = 64; cpu {
			perGroup = 8
		}
		c["WG"] = strconv.Itoa(perGroup)
	}
	if v.sized {
		c["ROWS"], c["COLS"] = strconv.Itoa(v.rows), strconv.Itoa(v.cols/vec4)
	}
	if transA && v.kernelT != "" {
		return v.kernelT, c, perGroup
	}
	if op == "NT" {
		c["TRANS_B"] = "1"
	}
	if transA {
		c["TRANS_A"] = "1"
	}
	return kernel, c, perGroup
}

// launch runs p with the variant of its shape class.
func (e *Engine) launch(p product) {
	if p.m == 0 || p.n == 0 {
		return
	}
	if e.tune.opt.Reserve {
		e.tune.reserve(p)
	}
	e.runVariant(p, e.tune.choose(p))
}

// split is the number of slices v cuts p's sum into, as many as limit bytes take: never
// for objectives, never below 64 terms a slice, never into a padded block of a larger matrix.
func (v variant) split(p product, limit int64) int {
	s := min(v.slices, (p.kEnd-p.kBegin)/blockUnit, int(limit/f32Bytes(int64(p.m)*int64(p.ldc))))
	if p.op == "SEG" || p.ldc != F32.LD(p.n) || s < 2 {
		return 1
	}
	return s
}

// work is the float operations of p.
func (p product) work() int64 { return 2 * int64(p.m) * int64(p.n) * int64(p.kEnd-p.kBegin) }

func (e *Engine) runVariant(p product, v variant) {
	terms := p.kEnd - p.kBegin
	n := e.tune.splits(v, p)
	if n < 2 {
		e.runPieces(p, v, p.objectives, alignUp(terms, vec4))
		return
	}
	kPer := alignUp(ceilDiv(terms, n), vec4)
	n = ceilDiv(terms, kPer)
	parts := p
	parts.stride, parts.accumulate = p.m*p.ldc, false
	parts.out = e.tune.workspace(v.workspace(p, n))
	e.runPieces(parts, v, n, kPer)
	n4 := int(vec4s(p.m * p.ldc))
	e.run(call{kernel: "splitk_reduce", params: splitParams{uint32(n4), uint32(n), asU32(p.accumulate)},
		binds: []gpu.View{parts.out, p.out}, groups: grid(ceilDiv(n4, 64)), work: e.moving(int64(n4)*16*int64(n+2), 0)})
}

// runPieces runs p for z objectives or slices of kPer terms.
func (e *Engine) runPieces(p product, v variant, z, kPer int) {
	for _, piece := range p.cut(e.maxWork()) {
		e.runPiece(piece, v, z, kPer)
	}
}

// cut halves p along the longer side of out until each piece does at most limit
// work or is one block. Every element's sum stays as it was, so the bits do not
// depend on the limit.
func (p product) cut(limit int64) []product {
	if p.work() <= limit {
		return []product{p}
	}
	rowUnit, columnUnit := blockUnit, p.bType.rowUnit()
	if p.op != "NT" {
		columnUnit = p.bType.columnUnit()
	}
	mid, byRows := half(0, p.m, rowUnit)
	midColumn, byColumns := half(0, p.n, columnUnit)
	low, high := p, p
	switch {
	case byRows && (p.m >= p.n || !byColumns):
		low.m, high.m = mid, p.m-mid
		high.a = after(p.a, F32, mid*p.lda)
		if p.op == "TN" || p.op == "SEG" {
			high.a = after(p.a, F32, mid)
		}
		high.out = after(p.out, F32, mid*p.ldc)
	case byColumns:
		mid = midColumn
		low.n, high.n = mid, p.n-mid
		high.b = after(p.b, p.bType, mid)
		if p.op == "NT" {
			high.b = after(p.b, p.bType, mid*p.ldb)
		}
		high.out = after(p.out, F32, mid)
	default:
		return []product{p}
	}
	return append(low.cut(limit), high.cut(limit)...)
}

// after is v without its first n elements, of type d.
func after(v gpu.View, d DType, n int) gpu.View {
	size := d.Bytes(int64(n))
	return gpu.View{Buf: v.Buf, Offset: v.Offset + size, Size: v.Size - size}
}

// runPiece is one dispatch of v's kernel for z objectives or slices of kPer terms.
func (e *Engine) runPiece(p product, v variant, z, kPer int) {
	kernel, consts, perGroup := v.consts(p.op, p.bType, p.accumulate, e.cpu)
	segments := p.segments
	if segments.Buf == nil {
		segments = e.tune.placeholder()
	}
	g := grid(ceilDiv(ceilDiv(p.m, v.rows)*ceilDiv(p.n, v.cols), perGroup))
	g[2] = z
	e.run(call{kernel: kernel, consts: consts, params: matmulParams{
		M: uint32(p.m), N: uint32(p.n), KBegin: uint32(p.kBegin), KEnd: uint32(p.kEnd),
		LDA4: vec4s(p.lda), LDB4: vec4s(p.ldb), LDC4: vec4s(p.ldc),
		Segmented: asU32(p.op == "SEG"), KPer: uint32(kPer), OutStride4: vec4s(p.stride)},
		binds: []gpu.View{p.a, p.b, segments, p.out}, groups: g, work: p.work()})
}
