package tensor

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"concord/gpu"
	"concord/internal/optest"
)

// benchShapes are the products of a small model's step (hidden 128, MLP 344,
// vocabulary 1024, 2048 tokens, eight languages) and the usual cubes. A SEG
// shape is (rows, columns, tokens) over eight segments.
var benchShapes = []struct {
	op      string
	m, n, k int
}{
	{"NT", 2048, 128, 128}, {"NT", 2048, 344, 128}, {"NT", 2048, 128, 344}, {"NT", 2048, 64, 128}, {"NT", 2048, 1024, 128},
	{"NN", 2048, 128, 128}, {"NN", 2048, 128, 344}, {"NN", 2048, 128, 1024},
	{"TN", 344, 128, 2048}, {"TN", 64, 128, 2048}, {"SEG", 344, 128, 2048}, {"SEG", 128, 128, 2048}, {"SEG", 1024, 128, 2048},
	{"NT", 1, 1024, 128},
	{"NN", 512, 512, 512}, {"NN", 1024, 1024, 1024}, {"NT", 1024, 1024, 1024}, {"TN", 1024, 1024, 1024},
}

// benchProduct is a product on fresh buffers, and a function that runs it.
func benchProduct(e *Engine, op string, m, n, k int) func() {
	t := map[string]Trans{"NN": NN, "NT": NT, "TN": TN, "SEG": TN}[op]
	ar, ac, br, bc := matmulOperands(t, m, n, k)
	a, b := upload(e, ar, ac, optest.Random(ar*ac, 1)), upload(e, br, bc, optest.Random(br*bc, 2))
	if op != "SEG" {
		out := e.New(gpu.RoleScratch, "out", m, n)
		return func() { e.MatMul(out, a, b, t, false) }
	}
	const objectives = 8
	var starts []int
	for i := range objectives + 1 {
		starts = append(starts, i*k/objectives)
	}
	seg := e.NewSegments(gpu.RoleScratch, starts)
	ld := (n + 3) &^ 3
	stride := (m*ld + 63) &^ 63
	out := TaskGrads{Buf: e.New(gpu.RoleScratch, "out", objectives, stride).Buf, M: objectives, Stride: stride, R: m, C: n, LD: ld}
	return func() { e.MatMulSegmented(out, a, b, seg, false) }
}

// deviceBest is the highest GFLOP/s of any variant on a 1024³ product: the
// smallest of three timings each.
func deviceBest(b *testing.B, e *Engine) float64 {
	best := 0.0
	for _, name := range []string{"direct-16x4", "direct-8x2", "tiled-64", "tiled-32"} {
		force(e, name)
		run := benchProduct(e, "NN", 1024, 1024, 1024)
		run()
		for range 3 {
			best = max(best, 2*1024*1024*1024/seconds(b, e, run, 1)/1e9)
		}
	}
	return best
}

func seconds(b *testing.B, e *Engine, run func(), n int) float64 {
	if err := e.Dev.Sync(); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for range n {
		run()
	}
	if err := e.Dev.Sync(); err != nil {
		b.Fatal(err)
	}
	return time.Since(start).Seconds()
}

// BenchmarkMatMul reports GFLOP/s per shape with the variant that the autotune
// chooses, and the fraction of the device's best on a 1024³ product.
func BenchmarkMatMul(b *testing.B) {
	e := testEngine(b)
	best := deviceBest(b, e)
	tuned := newTuner(e, Options{CacheDir: b.TempDir()})
	for _, s := range benchShapes {
		b.Run(fmt.Sprintf("%s/%dx%dx%d", s.op, s.m, s.n, s.k), func(b *testing.B) {
			e.tune = tuned
			run := benchProduct(e, s.op, s.m, s.n, s.k)
			run()
			t := seconds(b, e, run, b.N)
			gflops := 2 * float64(s.m) * float64(s.n) * float64(s.k) * float64(b.N) / t / 1e9
			b.ReportMetric(gflops, "GFLOP/s")
			b.ReportMetric(100*gflops/best, "%best")
			b.Logf("variants so far: %v", tuned.choices)
		})
	}
}

// BenchmarkMatMulVariants compares the variants on each shape, interleaved so
// that other load on the machine hits all alike; the smallest of b.N+2 timings.
func BenchmarkMatMulVariants(b *testing.B) {
	e := testEngine(b)
	for _, s := range benchShapes {
		b.Run(fmt.Sprintf("%s/%dx%dx%d", s.op, s.m, s.n, s.k), func(b *testing.B) {
			times := map[string]float64{}
			run := benchProduct(e, s.op, s.m, s.n, s.k)
			best := math.Inf(1)
			for i := range b.N + 3 {
				for _, name := range e.Variants() {
					if i > 1 && times[name] > 4*best {
						continue
					}
					force(e, name)
					t := seconds(b, e, run, 1)
					if i == 1 || i > 1 && t < times[name] { // 0 compiles
						times[name] = t
						best = min(best, t)
					}
				}
			}
			names := e.Variants()
			slices.Sort(names)
			for _, name := range names {
				b.ReportMetric(2*float64(s.m)*float64(s.n)*float64(s.k)/times[name]/1e9, name)
			}
		})
	}
}
