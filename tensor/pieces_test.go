package tensor

import (
	"os"
	"slices"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
)

// limited is an engine on a device that binds so many bytes, and refuses more.
func limited(t *testing.T, bytes int64) *Engine {
	t.Helper()
	testEngine(t) // or skip
	dev, err := gpu.Open(gpu.Options{Adapter: os.Getenv("CONCORD_ADAPTER"), BindingLimit: bytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	return NewEngine(dev, Options{NoAutotune: true})
}

// Operands larger than one binding give the bits of those that are not cut, whatever
// their element type.
func TestLargerThanABinding(t *testing.T) {
	const r, c, limit = 513, 256, 140_000 // 513 KiB of float32
	whole, cut := testEngine(t), limited(t, limit)
	ids := append(randomIDs(90, r, 2), 0, r-1, r, 0xffffffff)
	seg := []int{0, 40, len(ids)}
	values := optest.Random(r*c, 1)
	grad := optest.Random(r*c, 2)
	both := func(name string, f func(e *Engine) [][]float32) {
		t.Helper()
		want, got := f(whole), f(cut)
		for i := range want {
			if k := optest.Bits(got[i], want[i]); k >= 0 || len(got[i]) == 0 {
				t.Errorf("%s: result %d differs at %d of %d", name, i, k, len(got[i]))
			}
		}
		if err := cut.Dev.Err(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, d := range slices.Concat(DTypes(), FileTypes()) {
		make := func(e *Engine) Tensor {
			if d.OfFile() {
				x, _ := blocks(e, d, r, c, 3)
				return x
			}
			return typed(e, d, r, c, values)
		}
		both("embedding of "+d.String(), func(e *Engine) [][]float32 {
			out, in := e.New(gpu.RoleScratch, "out", len(ids), c), uploadU32(e, ids)
			e.Embedding(out, make(e), in)
			wide := e.New(gpu.RoleScratch, "decoded", r, c)
			e.Convert(wide, make(e))
			return [][]float32{download(t, e, out), download(t, e, wide)}
		})
	}
	both("embedding's gradient", func(e *Engine) [][]float32 {
		s := e.NewSegments(gpu.RoleData, seg)
		idx := e.NewTokenIndex(len(ids), 2)
		idx.Update(ids, s)
		rows := TaskGrads{Buf: upload(e, 2*r, c, slices.Concat(values, grad)).Buf, M: 2, Stride: r * c, R: r, C: c, LD: c}
		e.EmbeddingBackward(rows, upload(e, len(ids), c, optest.Random(len(ids)*c, 5)), idx, true)
		return [][]float32{download(t, e, rows.Objective(0)), download(t, e, rows.Objective(1))}
	})
	both("combine", func(e *Engine) [][]float32 {
		rows := TaskGrads{Buf: upload(e, 2*r, c, slices.Concat(values, grad)).Buf, M: 2, Stride: r * c, R: r, C: c, LD: c}
		out := e.New(gpu.RoleScratch, "out", r, c)
		e.Combine(out, rows, []float32{0.25, -1.5}, false)
		return [][]float32{download(t, e, out)}
	})
	adam := AdamWParams{LR: 3e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1, GradScale: 0.7, Step: 3}
	both("adamw", func(e *Engine) [][]float32 {
		x := []Tensor{upload(e, r, c, values), e.New(gpu.RoleScratch, "m", r, c), e.New(gpu.RoleScratch, "v", r, c)}
		e.AdamW(x[0], x[1], x[2], upload(e, r, c, grad), adam)
		return [][]float32{download(t, e, x[0]), download(t, e, x[1]), download(t, e, x[2])}
	})
	for _, types := range packedTypes {
		both("adamw_packed", func(e *Engine) [][]float32 {
			_, x := packedState(e, types, r*c)
			e.Upload(x[0], values)
			e.AdamWPacked(x[0], x[1], x[2], upload(e, 1, r*c, grad), [2]uint32{3, 7}, 512, adam)
			return [][]float32{download(t, e, x[0]), download(t, e, x[1]), download(t, e, x[2])}
		})
	}
	for _, d := range []DType{F32, BF16} {
		both("factored", func(e *Engine) [][]float32 {
			w, g := typed(e, d, r, c, values), upload(e, r, c, grad)
			rows, columns := e.New(gpu.RoleScratch, "rows", 1, r), e.New(gpu.RoleScratch, "columns", 1, c)
			s := FactoredParams{LR: 1e-2, Beta2: 0.99, Eps: 1e-8, WeightDecay: 0.1, Step: 1, GradScale: 1}
			e.Factored(w, rows, columns, func(f func(int, Tensor)) { f(0, g) }, [2]uint32{1, 2}, s, e.NewFactoredScratch(FactoredSlices(r, c), r))
			return [][]float32{download(t, e, w), download(t, e, rows), download(t, e, columns)}
		})
	}
}

// Sums over operands larger than one binding are those of whole ones.
func TestSumsLargerThanABinding(t *testing.T) {
	const m, n, limit = 3, 100_000, 140_000
	whole, cut := testEngine(t), limited(t, limit)
	var want []float64
	for _, e := range []*Engine{whole, cut} {
		rows, _ := testRows(e, m, n, 1)
		sums := e.NewGramSums(e.GramSumBytes(m, rows.LD))
		g := e.NewGramSum(m, sums)
		g.Add(rows, e.NewGramScratch(m, min(rows.LD, e.BindingElements())))
		g.Start()
		gram, err := g.Wait()
		if err != nil {
			t.Fatal(err)
		}
		metric := e.NewGramSum(m, sums)
		metric.AddAdam(rows, e.New(gpu.RoleScratch, "v", 1, n), AdamMetric{Beta2: 0.9, Eps: 1, Step: 1, Mean: []float32{1, 1, 1}, GradScale: 1},
			e.NewGramAdamScratch(m, min(rows.LD, e.BindingElements())))
		metric.Start()
		inMetric, err := metric.Wait()
		if err != nil {
			t.Fatal(err)
		}
		squares, err := e.SumSquares(e.SumSquaresScratch(rows.Objective(1)), rows.Objective(1)).Wait()
		if err != nil {
			t.Fatal(err)
		}
		got := slices.Concat(gram, inMetric, squares)
		for i := range want {
			if d := got[i] - want[i]; max(d, -d) > 1e-6*max(want[0], 1) {
				t.Errorf("sum %d: %v, whole %v", i, got[i], want[i])
			}
		}
		want = got
	}
}
