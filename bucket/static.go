package bucket

import (
	"concord/gpu"
	"concord/internal/param"
	"concord/tensor"
)

// staticScale makes gradients of static weights: the gradient
// of Σ wₘ lossₘ is linear in one factor token by token, so scaling that factor's
// rows by their objective's weight gives the combined gradient in one plain
// product, without rows.
type staticScale struct {
	factor tensor.Tensor // (N, K) scaled copy
	tokens tensor.Tensor // (1, N) weight of each token
	whole  tensor.Segments
	group  int // whose weights tokens holds, or -1
}

func (f *staticScale) allocate(r *Resolver) {
	if !r.opt.Static {
		return
	}
	width := 0
	for _, b := range r.store.Layout.Buckets {
		for _, p := range b.Params {
			if p.Kind == param.Linear { // the narrower of its factors is scaled
				width = max(width, min(p.R, p.C))
			} else {
				width = max(width, p.Width())
			}
		}
	}
	e := r.store.Engine
	f.factor = e.New(gpu.RoleScratch, "scaled factor", r.opt.Tokens, width)
	f.tokens = e.New(gpu.RoleScratch, "token weights", 1, r.opt.Tokens)
	f.whole = e.NewSegments(gpu.RoleData, []int{0, r.opt.Tokens})
}

func (f *staticScale) begin() { f.group = -1 }

// scale returns factor with every token's row times the weight of its objective
// in group u, and the segments that hold all tokens in one.
func (f *staticScale) scale(r *Resolver, u int, factor tensor.Tensor, seg tensor.Segments) (tensor.Tensor, tensor.Segments) {
	e := r.store.Engine
	if f.group != u || r.micro > 1 { // another micro-batch has other segments
		e.Upload(f.tokens, tokenWeights(r.groups[u].static, seg.Starts, halves(r.opt)))
		f.group = u
	}
	out := tensor.Tensor{Buf: f.factor.Buf, R: factor.R, C: factor.C, LD: (factor.C + 3) &^ 3}
	e.ScaleRows(out, factor, f.tokens)
	return out, f.whole
}

// tokenWeights repeats weights, one per objective of so many segments each, for
// the tokens of their segments.
func tokenWeights(weights []float64, starts []int, perObjective int) []float32 {
	out := make([]float32, starts[len(starts)-1])
	for s := range len(starts) - 1 {
		for i := starts[s]; i < starts[s+1]; i++ {
			out[i] = float32(weights[s/perObjective])
		}
	}
	return out
}

func (f *staticScale) release() {
	if f.factor.Buf != nil {
		f.factor.Buf.Release()
		f.tokens.Buf.Release()
		f.whole.Dev.Buf.Release()
	}
}
