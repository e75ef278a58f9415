package tensor

import (
	"fmt"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
)

// TestProductCut holds every piece of a product to the limit, or to one block.
func TestProductCut(t *testing.T) {
	for _, s := range [][3]int{{4096, 4096, 4096}, {1, 128256, 4096}, {5000, 3, 32768}, {65, 65, 10}, {1, 1, 1}} {
		for _, limit := range []int64{1, 5e8, 5e9} {
			p := product{op: "NN", m: s[0], n: s[1], kEnd: s[2], lda: s[2], ldb: s[1], ldc: s[1]}
			area := 0
			for _, c := range p.cut(limit) {
				area += c.m * c.n
				if c.work() > limit && (c.m > blockUnit || c.n > blockUnit) {
					t.Errorf("%v cut to %d work: a piece of (%d,%d) does %d", s, limit, c.m, c.n, c.work())
				}
			}
			if area != s[0]*s[1] {
				t.Errorf("%v cut to %d work: the pieces have %d elements", s, limit, area)
			}
		}
	}
}

// TestWorkLimitMatMul cuts products into blocks of 64x64: the bits are those of
// one dispatch. The limit follows a measured rate, which no result may depend on.
func TestWorkLimitMatMul(t *testing.T) {
	e := testEngine(t)
	const m, n, k = 150, 197, 133
	for _, name := range []string{"direct-16x4", "direct-8x2", "tiled-64", "tiled-32", "direct-8x2-k2"} {
		for _, op := range []Trans{NN, NT, TN} {
			t.Run(fmt.Sprintf("%s/%v", name, op), func(t *testing.T) {
				force(e, name)
				ar, ac, br, bc := matmulOperands(op, m, n, k)
				a, b := upload(e, ar, ac, optest.Random(ar*ac, 1)), upload(e, br, bc, optest.Random(br*bc, 2))
				sameBits(t, e, func() []Tensor {
					out := guarded(e, m, n)
					e.Upload(out, optest.Random(m*n, 3))
					e.MatMul(out, a, b, op, true)
					return []Tensor{out}
				})
			})
		}
		t.Run(name+"/SEG", func(t *testing.T) {
			force(e, name)
			a, b := upload(e, k, m, optest.Random(k*m, 1)), upload(e, k, n, optest.Random(k*n, 2))
			seg := e.NewSegments(gpu.RoleData, []int{0, 30, 30, k})
			stride := alignUp(m*alignUp(n, 4), 64)
			sameBits(t, e, func() []Tensor {
				out := guarded(e, 3, stride)
				e.MatMulSegmented(TaskGrads{Buf: out.Buf, Offset: out.Offset, M: 3, Stride: stride, R: m, C: n, LD: alignUp(n, 4)}, a, b, seg, false)
				return []Tensor{out}
			})
		})
	}
}

// TestWorkLimitAttention cuts forward and backward into dispatches of one tile.
func TestWorkLimitAttention(t *testing.T) {
	e := testEngine(t)
	for _, variant := range []string{attentionDirect, attentionFlash} {
		t.Run(variant, func(t *testing.T) {
			x := newAttentionCase(e, AttentionShape{Heads: 4, KVHeads: 2, HeadDim: 8, Variant: variant, maxSpan: 32}, 31, 2, 50)
			whole := x.run(t, e)
			e.workLimit = 1
			defer func() { e.workLimit = 0 }()
			for i, got := range x.run(t, e) {
				if at := optest.Bits(got, whole[i]); at >= 0 {
					t.Errorf("output %d: differs at %d when cut", i, at)
				}
			}
		})
	}
}

// TestMoving books a kernel that only moves memory at what a GPU could compute in
// that time: by its few operations it would seem to be free.
func TestMoving(t *testing.T) {
	if got := (&Engine{}).moving(1<<20, 5); got != 10<<20 {
		t.Errorf("1 MiB moved is %d operations", got)
	}
	if got := (&Engine{}).moving(1, 1000); got != 1000 {
		t.Errorf("1000 operations on a byte are %d", got)
	}
}

// sameBits compares what f computes in single dispatches and cut to the limit.
func sameBits(t *testing.T, e *Engine, f func() []Tensor) {
	t.Helper()
	defer func() { e.workLimit = 0 }()
	var got [2][]Tensor
	for i, limit := range []int64{1 << 60, 1} {
		e.workLimit = limit
		got[i] = f()
	}
	for i := range got[0] {
		if at := optest.Bits(download(t, e, got[0][i]), download(t, e, got[1][i])); at >= 0 {
			t.Errorf("output %d: differs at %d when cut", i, at)
		}
		checkGuards(t, e, got[1][i])
	}
}
