package tensor

import (
	"testing"

	"concord/gpu"
	"concord/internal/optest"
)

// The tests of this file run kernels on more than maxGroups workgroups, which
// grid then folds over two dimensions. Other kernels have theirs beside their
// other tests.

// folds is the number of workgroups that these tests ask for, not a multiple of
// the two rows that they fold into.
const folds = maxGroups + 6

// foldEngine is testEngine, for once: the kernels do not depend on the treatment.
func foldEngine(t *testing.T) *Engine {
	t.Helper()
	e := testEngine(t)
	if e.cpu != (e.Dev.Info().Type == gpu.CPU) {
		t.Skip("the same with CONCORD_TREAT_AS_GPU")
	}
	return e
}

// small is n values that products of two keep exact.
func small(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(i%251) - 125
	}
	return x
}

func TestMatMulFoldsGrid(t *testing.T) {
	e := foldEngine(t)
	for _, c := range []struct {
		kernel string
		tile   int
	}{{"matmul_direct", 16}, {"matmul_direct_tn", 16}, {"matmul_tiled32", 32}, {"matmul_tiled64", 64}} {
		t.Run(c.kernel, func(t *testing.T) {
			n := folds*c.tile - 3 // one row of tiles
			want := small(n)
			a, b, out := upload(e, 1, 1, []float32{2}), upload(e, 1, n, want), guarded(e, 1, n)
			x := call{kernel: c.kernel, groups: grid(folds),
				params: matmulParams{M: 1, N: uint32(n), KEnd: 1, LDA4: 1, LDB4: uint32(b.LD / 4), LDC4: uint32(out.LD / 4), KPer: 4},
				binds:  []gpu.View{a.View(), b.View(), e.tune.placeholder(), out.View()}}
			if c.tile == 16 {
				x.consts = map[string]string{"WG": "1"}
			}
			e.run(x)
			for i := range want {
				want[i] *= 2
			}
			if at := optest.Bits(download(t, e, out), want); at >= 0 {
				t.Errorf("element %d of %d is wrong", at, n)
			}
			checkGuards(t, e, out)
		})
	}
}

func TestSplitReduceFoldsGrid(t *testing.T) {
	e := foldEngine(t)
	host := small(2 * folds * 4)
	parts, out := upload(e, 2, folds*4, host), guarded(e, 1, folds*4)
	e.run(call{kernel: "splitk_reduce", consts: map[string]string{"WG": "1"}, params: splitParams{folds, 2, 0},
		binds: []gpu.View{parts.View(), out.View()}, groups: grid(folds)})
	want := make([]float32, folds*4)
	for i := range want {
		want[i] = host[i] + host[i+len(want)]
	}
	if at := optest.Bits(download(t, e, out), want); at >= 0 {
		t.Errorf("element %d is wrong", at)
	}
	checkGuards(t, e, out)
}

func TestGramFoldFoldsGrid(t *testing.T) {
	e := foldEngine(t)
	const pairs, slots, outs = folds, 66, 64 // the first two outputs have two terms
	host := small(pairs * slots)
	part, out := upload(e, 1, pairs*slots, host), guarded(e, pairs, outs)
	e.gramFold(out.View(), part.View(), pairs, slots, outs)
	want := make([]float32, 0, pairs*outs)
	for i := range pairs {
		x := host[i*slots : (i+1)*slots]
		want = append(append(want, x[0]+x[64], x[1]+x[65]), x[2:64]...)
	}
	if at := optest.Bits(download(t, e, out), want); at >= 0 {
		t.Errorf("element %d is wrong", at)
	}
	checkGuards(t, e, out)
}

// TestAttentionFoldsGrid has one head of many rows. Only some tiles, where the
// grid folds and at its ends, have documents; the others end at once.
func TestAttentionFoldsGrid(t *testing.T) {
	e := foldEngine(t)
	const tile, n, d = 32, 32 * folds, 4
	fold := grid(folds)[0]
	for _, variant := range []string{attentionDirect, attentionFlash} {
		t.Run(variant, func(t *testing.T) {
			s := AttentionShape{Heads: 1, KVHeads: 1, HeadDim: d, Variant: variant, wg: 8}
			x := newAttentionCase(e, s, tile) // one tile's worth
			start, end := make([]uint32, n), make([]uint32, n)
			for i := range start {
				start[i] = 1 << 30
			}
			var all [8]Tensor // out, dq, dk, dv, q, k, v, dout
			for i := range all {
				all[i] = e.New(gpu.RoleScratch, "rows", n, d)
			}
			lse, delta := e.New(gpu.RoleScratch, "lse", 1, n), e.New(gpu.RoleScratch, "delta", 1, n)
			live := []int{0, fold - 1, fold, maxGroups - 1, maxGroups, folds - 1}
			for _, at := range live {
				for i := at * tile; i < (at+1)*tile; i++ {
					start[i], end[i] = uint32(at*tile), uint32((at+1)*tile)
				}
				for i, host := range [][]float32{x.q, x.k, x.v, x.dout} {
					e.Upload(all[4+i].rows(at*tile, (at+1)*tile), host)
				}
			}
			docs := Docs{Start: uploadDocs(e, start), End: uploadDocs(e, end), Longest: tile}
			e.Attention(all[0], lse, all[4], all[5], all[6], docs, x.s)
			e.AttentionBackward(all[1], all[2], all[3], all[7], all[0], all[4], all[5], all[6], lse, delta, docs, x.s)
			for _, at := range live {
				for i, want := range [][]float32{x.out, x.dq, x.dk, x.dv} {
					if err := optest.Compare(download(t, e, all[i].rows(at*tile, (at+1)*tile)), want, attentionTol); err != nil {
						t.Errorf("tile %d, output %d: %v", at, i, err)
					}
				}
			}
			for _, b := range append(all[:], lse, delta) {
				b.Buf.Release()
			}
		})
	}
}

func TestAttentionDeltaFoldsGrid(t *testing.T) {
	e := foldEngine(t)
	a, b := small(folds*4), optest.Random(folds*4, 1)
	out := guarded(e, folds, 1)
	e.run(call{kernel: "attention_delta", consts: map[string]string{"WG": "1"}, params: attentionDeltaParams{1, folds, 1, folds, folds, 4},
		binds: []gpu.View{upload(e, 1, folds*4, a).View(), upload(e, 1, folds*4, b).View(), out.View()}, groups: grid(folds)})
	want := make([]float32, folds)
	for i := range a {
		want[i/4] += a[i] * b[i]
	}
	if err := optest.Compare(download(t, e, out), want, attentionTol); err != nil {
		t.Error(err)
	}
	checkGuards(t, e, out)
}
