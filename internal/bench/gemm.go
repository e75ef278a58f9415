package bench

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"concord/gpu"
	"concord/tensor"
)

// Shape is one matrix product to measure: out(M,N) as a sum of K terms. Op is
// "NN", "NT", "TN", or "SEG": TN over K tokens that belong to Objectives
// languages, one out for each.
type Shape struct {
	Op         string `json:"op"`
	M          int    `json:"m"`
	N          int    `json:"n"`
	K          int    `json:"k"`
	Objectives int    `json:"objectives"`
	Use        string `json:"use,omitempty"` // where a model meets it
}

func (s Shape) String() string {
	text := fmt.Sprintf("%s %dx%dx%d", s.Op, s.M, s.N, s.K)
	if s.Op == "SEG" {
		text += fmt.Sprintf("/%d", s.Objectives)
	}
	return text
}

// flops of one product; the segments of SEG share the K terms.
func (s Shape) flops() float64 { return 2 * float64(s.M) * float64(s.N) * float64(s.K) }

// segments is the number of languages that SEG is measured with.
const segments = 8

// DefaultShapes are cubes and the products of a step: of the shipped demo model
// (hidden 128, MLP 344, vocabulary 1024, 2048 tokens) and of a model of 135 M
// parameters (hidden 576, MLP 1536, 512 tokens).
func DefaultShapes() []Shape {
	var out []Shape
	for _, n := range []int{512, 1024} {
		for _, op := range []string{"NN", "NT", "TN"} {
			out = append(out, Shape{Op: op, M: n, N: n, K: n, Objectives: 1})
		}
	}
	layer := func(name string, tokens, in, hidden int) {
		out = append(out,
			Shape{"NT", tokens, hidden, in, 1, name + " MLP forward"},
			Shape{"NN", tokens, in, hidden, 1, name + " MLP input gradient"},
			Shape{"TN", hidden, in, tokens, 1, name + " MLP weight gradient"},
			Shape{"SEG", hidden, in, tokens, segments, name + " MLP weight gradient per language"})
	}
	layer("demo", 2048, 128, 344)
	out = append(out, Shape{"NT", 1024, 1024, 128, 1, "demo logits"}, Shape{"NT", 1, 344, 128, 1, "demo MLP, one token"})
	layer("135M", 512, 576, 1536)
	return out
}

// ParseShapes reads "512" (a cube) and "2048x344x128" (MxNxK), and each is
// measured in all four operations.
func ParseShapes(sizes []string) ([]Shape, error) {
	var out []Shape
	for _, size := range sizes {
		parts := strings.Split(size, "x")
		if len(parts) == 1 {
			parts = []string{size, size, size}
		}
		var d []int
		for _, p := range parts {
			if v, err := strconv.Atoi(p); err == nil && v >= 1 && v <= 1<<16 {
				d = append(d, v)
			}
		}
		if len(parts) != 3 || len(d) != 3 {
			return nil, fmt.Errorf("%q is no size: give 512 for 512x512x512, or MxNxK such as 2048x344x128, each 1 to 65536", size)
		}
		for _, op := range []string{"NN", "NT", "TN"} {
			out = append(out, Shape{Op: op, M: d[0], N: d[1], K: d[2], Objectives: 1})
		}
		out = append(out, Shape{Op: "SEG", M: d[0], N: d[1], K: d[2], Objectives: segments})
	}
	return out, nil
}

// VariantRate is the speed of one way to compute a product.
type VariantRate struct {
	Name   string  `json:"name"`
	GFLOPS float64 `json:"gflops"` // 10⁹ float operations per second
}

// ShapeRate is the measurement of one shape.
type ShapeRate struct {
	Shape
	Skipped    string        `json:"skipped,omitempty"` // why nothing was measured
	Choice     string        `json:"choice"`            // the autotuned variant
	GFLOPS     float64       `json:"gflops"`            // of the choice
	OfVariants float64       `json:"of_best_variant"`   // of the fastest variant for this shape, 0 … 1
	OfDevice   float64       `json:"of_device_best"`    // of the fastest figure of the whole table, 0 … 1
	Variants   []VariantRate `json:"variants"`          // fastest first
}

// GEMMResult is the table of matrix products.
type GEMMResult struct {
	Machine
	Rounds int         `json:"rounds"`
	Best   float64     `json:"device_best_gflops"`
	Shapes []ShapeRate `json:"shapes"`
}

// GEMM measures every variant on every shape, rounds timings each. dev stays
// open; its autotune results are kept in cacheDir ("" is the user's folder). An
// error is one of the device.
func GEMM(dev *gpu.Device, shapes []Shape, rounds int, cacheDir string) (*GEMMResult, error) {
	g := &gemm{dev: dev, rounds: rounds, cacheDir: cacheDir, engines: map[string]*tensor.Engine{}}
	out := &GEMMResult{Machine: NewMachine(dev.Info()), Rounds: rounds}
	for _, s := range shapes {
		r, err := g.shape(s)
		if err != nil {
			return nil, fmt.Errorf("bench: %v: %w", s, err)
		}
		out.Shapes = append(out.Shapes, r)
		for _, v := range r.Variants {
			out.Best = max(out.Best, v.GFLOPS)
		}
	}
	for i := range out.Shapes {
		out.Shapes[i].OfDevice = out.Shapes[i].GFLOPS / max(out.Best, 1e-9)
	}
	return out, nil
}

// gemm keeps one engine per variant, so that each kernel is compiled once.
type gemm struct {
	dev      *gpu.Device
	rounds   int
	cacheDir string
	engines  map[string]*tensor.Engine
}

func (g *gemm) engine(variant string) *tensor.Engine {
	if g.engines[variant] == nil {
		g.engines[variant] = tensor.NewEngine(g.dev, tensor.Options{Variant: variant})
	}
	return g.engines[variant]
}

func (g *gemm) shape(s Shape) (ShapeRate, error) {
	x, skipped := g.operands(s)
	if skipped != "" {
		return ShapeRate{Shape: s, Skipped: skipped}, nil
	}
	defer x.release()
	tuned := tensor.NewEngine(g.dev, tensor.Options{CacheDir: g.cacheDir})
	x.run(tuned)
	choices := slices.Sorted(maps.Values(tuned.TuneChoices()))
	if err := g.dev.Err(); err != nil {
		return ShapeRate{}, err
	}
	out := ShapeRate{Shape: s, Choice: choices[0]}
	names := tuned.Variants()
	if s.Op == "TN" || s.Op == "SEG" { // direct-4x1 stands in for it
		names = slices.DeleteFunc(names, func(n string) bool { return n == "direct-1x1" })
	}
	if !slices.Contains(names, out.Choice) {
		names = append(names, out.Choice)
	}
	rivals := make([]*rival, len(names))
	for i, name := range names {
		e := g.engine(name)
		rivals[i] = &rival{record: func() { x.run(e) }}
	}
	if err := race(g.dev, g.rounds, rivals, true); err != nil {
		return ShapeRate{}, err
	}
	for i, r := range rivals {
		v := VariantRate{Name: names[i], GFLOPS: s.flops() / median(r.seconds) / 1e9}
		out.Variants = append(out.Variants, v)
		if v.Name == out.Choice {
			out.GFLOPS = v.GFLOPS
		}
	}
	slices.SortStableFunc(out.Variants, func(a, b VariantRate) int {
		return cmp.Compare(b.GFLOPS, a.GFLOPS)
	})
	out.OfVariants = out.GFLOPS / out.Variants[0].GFLOPS
	return out, nil
}

// product is a shape with its operands on the device.
type product struct {
	s    Shape
	a, b tensor.Tensor
	rows tensor.TaskGrads
	seg  tensor.Segments // SEG only
}

func (g *gemm) operands(s Shape) (x product, skipped string) {
	ar, ac, br, bc := s.M, s.K, s.K, s.N
	switch s.Op {
	case "NT":
		br, bc = s.N, s.K
	case "TN", "SEG":
		ar, ac = s.K, s.M
	}
	ld := (s.N + 3) &^ 3
	stride := (s.M*ld + 63) &^ 63
	out := int64(s.Objectives) * int64(stride) * 4
	// The memory of a split sum and of the autotune comes on top.
	if why := fits(g.dev, out, 4*int64(ar)*int64(ac+3), 4*int64(br)*int64(bc+3), 4*out+64<<20); why != "" {
		return x, why
	}
	e := g.engine("direct-4x1")
	x = product{s: s, a: e.New(gpu.RoleScratch, "bench", ar, ac), b: e.New(gpu.RoleScratch, "bench", br, bc)}
	x.rows = tensor.TaskGrads{Buf: g.dev.NewBuffer(gpu.RoleScratch, "bench", out), M: s.Objectives, Stride: stride, R: s.M, C: s.N, LD: ld}
	e.Upload(x.a, pattern(ar*ac))
	e.Upload(x.b, pattern(br*bc))
	if s.Op == "SEG" {
		starts := make([]int, s.Objectives+1)
		for i := range starts {
			starts[i] = i * s.K / s.Objectives
		}
		x.seg = e.NewSegments(gpu.RoleScratch, starts)
	}
	return x, ""
}

func (x product) run(e *tensor.Engine) {
	switch x.s.Op {
	case "SEG":
		e.MatMulSegmented(x.rows, x.a, x.b, x.seg, false)
	case "NN":
		e.MatMul(x.rows.Objective(0), x.a, x.b, tensor.NN, false)
	case "NT":
		e.MatMul(x.rows.Objective(0), x.a, x.b, tensor.NT, false)
	default:
		e.MatMul(x.rows.Objective(0), x.a, x.b, tensor.TN, false)
	}
}

func (x product) release() {
	x.a.Buf.Release()
	x.b.Buf.Release()
	x.rows.Buf.Release()
	if x.seg.Dev.Buf != nil {
		x.seg.Dev.Buf.Release()
	}
}
