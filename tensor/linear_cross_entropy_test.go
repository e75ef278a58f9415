package tensor

import (
	"fmt"
	"slices"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

func TestLinearCrossEntropy(t *testing.T) {
	e := testEngine(t)
	for _, s := range []struct {
		v, c, chunk int
		starts      []int
	}{
		{1, 1, 0, []int{0, 1}},
		{37, 12, 0, []int{0, 50}},
		{37, 12, 16, []int{0, 50}},
		{37, 12, 16, []int{0, 10, 20, 20, 40, 67}}, // borders inside chunks
		{37, 12, 32, []int{0, 32, 64, 64, 65, 65}}, // borders on chunks, an empty end
		{70, 20, 40, []int{0, 0, 0, 90, 91}},       // empty first objectives, chunk lowered to 32
		{70, 20, 999, []int{0, 3, 77}},             // one chunk of an odd size
		{5, 64, 16, []int{0, 100, 100, 101, 129}},  // one objective over many chunks
	} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			n, m := s.starts[len(s.starts)-1], len(s.starts)-1
			x, w, scale, labels := scaled(n*s.c, 1, 2), optest.Random(s.v*s.c, 2), optest.Random(n, 3), randomIDs(n, s.v, 4)
			labels[n/2] = IgnoredLabel
			tx, tw, ts, tl := upload(e, n, s.c, x), upload(e, s.v, s.c, w), upload(e, 1, n, scale), uploadU32(e, labels)
			seg := e.NewSegments(gpu.RoleData, s.starts)
			l := e.NewLinearCrossEntropy(n, s.v, s.chunk)
			defer l.Release()
			for _, accumulate := range []bool{false, true} {
				loss, dx, dw := make([]float32, n), make([]float32, n*s.c), make([]float32, m*s.v*s.c)
				var before []float32
				if accumulate {
					before = optest.Random(len(dw), 5)
					copy(dw, before)
				}
				ref.LinearCrossEntropy(x, w, labels, scale, loss, dx, dw, s.starts, s.c, accumulate)
				outs := []output{{1, n, loss, make([]float32, n)}, {n, s.c, dx, nil}}
				checkRows(t, e, m, s.v, s.c, dw, before, func(rows TaskGrads) {
					other := guardedRows(e, m, s.v, s.c, nil)
					checkOutputs(t, e, outs, func(o []Tensor) {
						l.Run(tx, tw, tl, ts, o[0], &HeadGradients{DX: o[1], X: tx, DWeight: Target{other, seg, accumulate}})
					})
					loss, dx := e.New(gpu.RoleScratch, "loss", 1, n), e.New(gpu.RoleScratch, "dx", n, s.c)
					l.Run(tx, tw, tl, ts, loss, &HeadGradients{DX: dx, X: tx, DWeight: Target{rows, seg, accumulate}})
				})
				checkOutputs(t, e, outs[:1], func(o []Tensor) {
					l.Run(tx, tw, tl, Tensor{}, o[0], nil)
				})
			}
		})
	}
}

// The scratch serves batches of other lengths and segments, as evaluation needs.
func TestLinearCrossEntropyIsReused(t *testing.T) {
	e := testEngine(t)
	const v, c = 19, 8
	l := e.NewLinearCrossEntropy(100, v, 16)
	w := optest.Random(v*c, 2)
	tw := upload(e, v, c, w)
	for i, starts := range [][]int{{0, 40, 100}, {0, 5}, {0, 20, 21, 60, 90}, {0, 20, 21, 60, 90}, {0, 30, 31, 70, 100}} {
		n, m := starts[len(starts)-1], len(starts)-1
		x, scale, labels := optest.Random(n*c, uint64(i)), optest.Random(n, 3), randomIDs(n, v, 4)
		loss, dx, dw := make([]float32, n), make([]float32, n*c), make([]float32, m*v*c)
		ref.LinearCrossEntropy(x, w, labels, scale, loss, dx, dw, starts, c, false)
		tx, ts, tl, seg := upload(e, n, c, x), upload(e, 1, n, scale), uploadU32(e, labels), e.NewSegments(gpu.RoleData, starts)
		tloss, tdx := e.New(gpu.RoleScratch, "loss", 1, n), e.New(gpu.RoleScratch, "dx", n, c)
		checkRows(t, e, m, v, c, dw, nil, func(rows TaskGrads) {
			l.Run(tx, tw, tl, ts, tloss, &HeadGradients{DX: tdx, X: tx, DWeight: Target{rows, seg, false}})
		})
	}
}

// WeightGradient after a Run without DWeight has the bits of a Run with it, in one part and in two. It makes
// the logits of the first chunk again only where something has used the scratch since: with one chunk none.
func TestWeightGradient(t *testing.T) {
	h := newHeadCase(t)
	used := map[string]func(l *LinearCrossEntropy){
		"nothing": nil,
		"an evaluation": func(l *LinearCrossEntropy) {
			l.Run(h.x, upload(h.e, h.v, h.c, optest.Random(h.v*h.c, 9)), h.labels, Tensor{}, h.e.New(gpu.RoleScratch, "loss", 1, h.n), nil)
		},
		"once before": func(l *LinearCrossEntropy) { l.WeightGradient(h.x, h.w, h.labels, h.scale, h.loss, h.two) },
		"products between tokens": func(l *LinearCrossEntropy) {
			k := &HeadTokens{Loss: l, X: h.x, Weight: h.w, Labels: h.labels, Scale: h.scale}
			k.eachLogits(0, h.v, upload(h.e, 1, h.n, make([]float32, h.n)), func(int, Tensor) {})
		},
	}
	for _, chunk := range []int{0, 48, 32} {
		for name, use := range used {
			l := h.e.NewLinearCrossEntropy(h.n, h.v, chunk)
			losses := h.gradients(t, l)
			kept := min(l.Chunk(), h.n)
			if use != nil {
				use(l)
				kept = 0
			}
			h.e.Dev.Zero(h.loss.View())
			l.WeightGradient(h.x, h.w, h.labels, h.scale, h.loss, h.one)
			if got := download(t, h.e, h.loss); !slices.Equal(got[:kept], make([]float32, kept)) || !slices.Equal(got[kept:], losses[kept:]) {
				t.Errorf("chunk %d, %s: the losses of all but %d tokens should be written again: %v", chunk, name, kept, got)
			}
			l.WeightGradient(h.x, h.w, h.labels, h.scale, h.loss, h.two)
			for m := range h.want.M {
				rows := download(t, h.e, h.want.Objective(m))
				if !slices.Equal(download(t, h.e, h.one[0].Rows.Objective(m)), rows) {
					t.Errorf("chunk %d, %s: objective %d: other bits than Run's", chunk, name, m)
				}
				low, high := h.two[1].Rows.Objective(m), h.two[0].Rows.Objective(m)
				if !slices.Equal(slices.Concat(download(t, h.e, low), download(t, h.e, high)), rows) {
					t.Errorf("chunk %d, %s: objective %d: other bits in two parts", chunk, name, m)
				}
			}
			l.Release()
		}
	}
}

// headCase is a head with tokens of four segments, one of them empty, and room for its gradients.
type headCase struct {
	e                   *Engine
	v, c, n             int
	x, w, labels, scale Tensor
	loss, dx, wantDX    Tensor
	segments            Segments
	want                TaskGrads // of the weight, by Run
	one, two            []Part    // the same by WeightGradient
}

func newHeadCase(t *testing.T) *headCase {
	e := testEngine(t)
	h := &headCase{e: e, v: 150, c: 20, n: 75}
	h.x, h.w = upload(e, h.n, h.c, optest.Random(h.n*h.c, 1)), upload(e, h.v, h.c, optest.Random(h.v*h.c, 2))
	h.labels, h.scale = uploadU32(e, randomIDs(h.n, h.v, 4)), upload(e, 1, h.n, optest.Random(h.n, 3))
	dx := func() Tensor { return e.New(gpu.RoleScratch, "dx", h.n, h.c) }
	h.loss, h.dx, h.wantDX = e.New(gpu.RoleScratch, "loss", 1, h.n), dx(), dx()
	h.segments = e.NewSegments(gpu.RoleData, []int{0, 20, 20, 50, h.n})
	rows := func(v int) TaskGrads { return guardedRows(e, 4, v, h.c, nil) }
	h.want = rows(h.v)
	h.one = []Part{{0, Target{rows(h.v), h.segments, false}}}
	h.two = []Part{{64, Target{rows(h.v - 64), h.segments, false}}, {0, Target{rows(64), h.segments, false}}}
	return h
}

// gradients runs l with the weight's gradient, then without, and returns the losses, the same of both.
func (h *headCase) gradients(t *testing.T, l *LinearCrossEntropy) []float32 {
	t.Helper()
	l.Run(h.x, h.w, h.labels, h.scale, h.loss, &HeadGradients{DX: h.wantDX, X: h.x, DWeight: Target{h.want, h.segments, false}})
	losses := download(t, h.e, h.loss)
	l.Run(h.x, h.w, h.labels, h.scale, h.loss, &HeadGradients{DX: h.dx})
	if !slices.Equal(download(t, h.e, h.loss), losses) || !slices.Equal(download(t, h.e, h.dx), download(t, h.e, h.wantDX)) {
		t.Error("losses or dx differ without the weight's gradient")
	}
	return losses
}

func TestLinearCrossEntropyChunk(t *testing.T) {
	e := testEngine(t)
	for _, s := range [][4]int{{100, 37, 0, 100}, {100, 37, 50, 48}, {100, 37, 5, 16}, {100, 37, 100, 100}, {10, 37, 64, 10},
		{4096, 262144, 0, 128}, {4096, 262144, 100, 96}} {
		l := e.NewLinearCrossEntropy(s[0], s[1], s[2])
		if l.Chunk() != s[3] {
			t.Errorf("chunk of %v is %d", slices.Clone(s[:3]), l.Chunk())
		}
		l.Release()
	}
}

func BenchmarkLinearCrossEntropy(b *testing.B) {
	e := testEngine(b)
	const n, v, c = 2048, 1024, 128
	x, w := upload(e, n, c, optest.Random(n*c, 1)), upload(e, v, c, optest.Random(v*c, 2))
	labels, scale := uploadU32(e, randomIDs(n, v, 2)), upload(e, 1, n, optest.Random(n, 3))
	loss, dx := e.New(gpu.RoleScratch, "loss", 1, n), e.New(gpu.RoleScratch, "dx", n, c)
	rows := guardedRows(e, 8, v, c, nil)
	seg := e.NewSegments(gpu.RoleData, []int{0, 256, 512, 768, 1024, 1280, 1536, 1792, n})
	for _, chunk := range []int{0, 256} {
		l := e.NewLinearCrossEntropy(n, v, chunk)
		benchOp(b, e, fmt.Sprintf("chunk %d", l.Chunk()), n*v*8, func() {
			l.Run(x, w, labels, scale, loss, &HeadGradients{DX: dx, X: x, DWeight: Target{rows, seg, false}})
		})
	}
}
