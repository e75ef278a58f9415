package tensor

import (
	"fmt"
	"math"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

func ghostGram(t testing.TB, e *Engine, dy, x Tensor, seg Segments, limit int64) []float64 {
	t.Helper()
	s, sums := e.NewGhostScratch(dy.R, seg.M(), limit), e.NewGramSums(e.GhostSums(seg.M()))
	defer s.Release()
	defer sums.Release()
	g := e.NewGramSum(seg.M(), sums)
	g.AddGhost(dy, x, seg, s)
	g.Start()
	got, err := g.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestGhost compares with float64 and with the materialised path, in one chunk
// of tokens and in many, with empty segments.
func TestGhost(t *testing.T) {
	e := testEngine(t)
	for _, starts := range [][]int{{0, 1}, {0, 5, 17}, {0, 16, 16, 33, 64}, {0, 0, 40, 41, 100}, {0, 3, 3, 9, 20, 31, 47, 48, 90}} {
		for _, shape := range [][2]int{{5, 3}, {33, 20}, {64, 96}} {
			n, m, r, c := starts[len(starts)-1], len(starts)-1, shape[0], shape[1]
			hy, hx := optest.Random(n*r, 1), optest.Random(n*c, 2)
			dy, x, seg := upload(e, n, r, hy), upload(e, n, c, hx), e.NewSegments(gpu.RoleData, starts)
			want := ref.GhostGram(hy, hx, starts, r, c)
			rows := TaskGrads{Buf: e.New(gpu.RoleScratch, "rows", 1, m*alignUp(r*alignUp(c, 4), 64)).Buf, M: m,
				Stride: alignUp(r*alignUp(c, 4), 64), R: r, C: c, LD: alignUp(c, 4)}
			e.MatMulSegmented(rows, dy, x, seg, false)
			flat := rows
			flat.R, flat.C, flat.LD = 1, r*rows.LD, r*rows.LD
			materialised, err := e.Gram(flat, e.NewGramScratch(m, flat.C)).Wait()
			if err != nil {
				t.Fatal(err)
			}
			for _, limit := range []int64{1, 16 << 10, 1 << 30} {
				got := ghostGram(t, e, dy, x, seg, limit)
				for what, against := range map[string][]float64{"float64": want, "rows": materialised} {
					if d := activeGramError(got, against, m); d > 4e-6 {
						t.Errorf("%v %v, limit %d, against %s: relative error %.3g", starts, shape, limit, what, d)
					}
				}
				if again := ghostGram(t, e, dy, x, seg, limit); fmt.Sprint(again) != fmt.Sprint(got) {
					t.Errorf("%v %v: other bits the second time", starts, shape)
				}
			}
		}
	}
}

// activeGramError is gramError over the objectives that have a gradient; the
// others' entries must be 0.
func activeGramError(got, want []float64, m int) float64 {
	worst := 0.0
	for i := range m {
		for j := range m {
			if want[i*m+i] == 0 || want[j*m+j] == 0 {
				if got[i*m+j] != 0 {
					return math.Inf(1)
				}
				continue
			}
			worst = max(worst, math.Abs(got[i*m+j]-want[i*m+j])/math.Sqrt(want[i*m+i]*want[j*m+j]))
		}
	}
	return worst
}

// A token with NaN damages its objective's row and column alone.
func TestGhostNaN(t *testing.T) {
	e := testEngine(t)
	starts := []int{0, 10, 25, 40}
	const n, r, c, m = 40, 8, 12, 3
	hy, hx := optest.Random(n*r, 1), optest.Random(n*c, 2)
	hy[12*r+3] = float32(math.NaN())
	got := ghostGram(t, e, upload(e, n, r, hy), upload(e, n, c, hx), e.NewSegments(gpu.RoleData, starts), 1<<20)
	for i := range m {
		for j := range m {
			if bad := math.IsNaN(got[i*m+j]); bad != (i == 1 || j == 1) {
				t.Errorf("entry (%d,%d) is %v", i, j, got[i*m+j])
			}
		}
	}
}

func TestGhostCost(t *testing.T) {
	ghost, rows := GhostCost(512, 576, 1536, 64)
	if ghost.FLOPs >= rows.FLOPs || ghost.Bytes >= rows.Bytes {
		t.Errorf("64 objectives, few tokens: ghost %+v, rows %+v", ghost, rows)
	}
	if ghost, rows = GhostCost(2048, 128, 128, 8); ghost.FLOPs <= rows.FLOPs {
		t.Errorf("narrow layer, many tokens: ghost %+v, rows %+v", ghost, rows)
	}
}

// BenchmarkGhost measures a layer's Gram and combined gradient both ways.
func BenchmarkGhost(b *testing.B) {
	e := testEngine(b)
	for _, s := range [][4]int{{256, 576, 1536, 8}, {512, 576, 1536, 8}, {512, 576, 1536, 32}, {2048, 128, 344, 8}} {
		n, r, c, m := s[0], s[1], s[2], s[3]
		starts := make([]int, m+1)
		for i := range starts {
			starts[i] = i * n / m
		}
		dy, x, seg := upload(e, n, r, optest.Random(n*r, 1)), upload(e, n, c, optest.Random(n*c, 2)), e.NewSegments(gpu.RoleData, starts)
		out, w := e.New(gpu.RoleScratch, "out", r, c), upload(e, 1, n, optest.Random(n, 3))
		stride := alignUp(r*c, 64)
		rows := TaskGrads{Buf: e.New(gpu.RoleScratch, "rows", 1, m*stride).Buf, M: m, Stride: stride, R: r, C: c, LD: c}
		flat := rows
		flat.R, flat.C, flat.LD = 1, r*c, r*c
		weights := optest.Random(m, 4)
		gs, scratch, sums := e.NewGramScratch(m, r*c), e.NewGhostScratch(n, m, 4<<20), e.NewGramSums(e.GramSumBytes(m, r*c)+e.GhostSums(m))
		name := fmt.Sprintf("N=%d,%dx%d,M=%d", n, r, c, m)
		ghost, mat := GhostCost(n, r, c, m)
		b.Run(name+"/rows", func(b *testing.B) {
			for b.Loop() {
				e.MatMulSegmented(rows, dy, x, seg, false)
				g := e.NewGramSum(m, sums)
				g.Add(flat, gs)
				g.Start()
				if _, err := g.Wait(); err != nil {
					b.Fatal(err)
				}
				e.Combine(Tensor{Buf: out.Buf, R: 1, C: r * c, LD: r * c}, flat, weights, false)
			}
			b.ReportMetric(mat.FLOPs/1e9, "GFLOP")
		})
		b.Run(name+"/ghost", func(b *testing.B) {
			for b.Loop() {
				g := e.NewGramSum(m, sums)
				g.AddGhost(dy, x, seg, scratch)
				g.Start()
				if _, err := g.Wait(); err != nil {
					b.Fatal(err)
				}
				e.ScaleRowsInPlace(dy, w)
				e.MatMul(out, dy, x, TN, false)
			}
			b.ReportMetric(ghost.FLOPs/1e9, "GFLOP")
		})
		for _, t := range []*gpu.Buffer{dy.Buf, x.Buf, out.Buf, w.Buf, rows.Buf} {
			t.Release()
		}
		gs.Release()
		scratch.Release()
		sums.Release()
	}
}

// Tokens that cancel in dW leave errors that grow with 1/ρ², ρ = ‖dW‖/Σ‖dy‖‖x‖:
// the bound that the docs state.
func TestGhostCancellation(t *testing.T) {
	e := testEngine(t)
	const n, r, c = 256, 32, 48
	starts := []int{0, 128, 256}
	for _, mean := range []float32{0, 1, 3, 10} {
		hy, hx := optest.Random(n*r, 1), optest.Random(n*c, 2)
		for i := range hx {
			hx[i] += mean
		}
		for k := range r { // Σ dy = 0 within each language
			for m := range 2 {
				sum := float32(0)
				for i := starts[m]; i < starts[m+1]; i++ {
					sum += hy[i*r+k]
				}
				for i := starts[m]; i < starts[m+1]; i++ {
					hy[i*r+k] -= sum / 128
				}
			}
		}
		want := ref.GhostGram(hy, hx, starts, r, c)
		got := ghostGram(t, e, upload(e, n, r, hy), upload(e, n, c, hx), e.NewSegments(gpu.RoleData, starts), 1<<20)
		length := 0.0 // Σ‖dy‖‖x‖ of a language
		for i := range 128 {
			length += math.Sqrt(square(hy[i*r:(i+1)*r]) * square(hx[i*c:(i+1)*c]))
		}
		rho := math.Sqrt(want[0]) / length
		d := activeGramError(got, want, 2)
		t.Logf("mean %v: ρ %.2g, error %.2g = %.2g/ρ²", mean, rho, d, d*rho*rho)
		if d > 2e-9/(rho*rho) {
			t.Errorf("mean %v: relative error %.3g with ρ = %.3g", mean, d, rho)
		}
	}
}

func square(x []float32) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	return s
}
