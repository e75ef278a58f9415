package bucket

import (
	"slices"

	"concord/gpu"
	"concord/tensor"
)

// ghost is the scratch of ghost Grams: ⟨dW_i, dW_j⟩ of a linear map from inner
// products between tokens, without any dW. A parameter's share of the step's
// memory then holds a copy of dy and x, from which the one combined gradient is
// made once the weights are known.
type ghost struct {
	scratch tensor.GhostScratch
	weights tensor.Tensor   // (1, N) weight of each token
	seg     tensor.Segments // the step's
	used    bool
}

// ghostScratchBytes bounds the products between tokens that exist at a time.
const ghostScratchBytes = 4 << 20

// isGhost says that p's Gram is computed without rows.
func (r *Resolver) isGhost(p Param) bool {
	return r.opt.Ghost != nil && !p.Shared() && r.opt.Ghost(p)
}

// align256 rounds up to the alignment of a binding's offset.
func align256(n int64) int64 { return (n + 255) / 256 * 256 }

// ghostBytes is the memory of a copy of dy (N, R) and x (N, C).
func (r *Resolver) ghostBytes(p Param) int64 {
	n := tensor.F32.Bytes(int64(r.opt.Tokens))
	return align256(n*int64((p.R+3)&^3)) + align256(n*int64(p.LD()))
}

func (g *ghost) allocate(r *Resolver) {
	for _, name := range r.store.Layout.order {
		if r.isGhost(r.store.place(name).Param) {
			g.used = true
			g.scratch = r.store.Engine.NewGhostScratch(r.opt.Tokens, r.rows(), ghostScratchBytes)
			g.weights = r.store.Engine.New(gpu.RoleScratch, "token weights", 1, r.opt.Tokens)
			return
		}
	}
}

func (g *ghost) release() {
	if g.used {
		g.scratch.Release()
		g.weights.Buf.Release()
	}
}

// kept is the copies of a parameter's dy and x.
func (r *Resolver) kept(p Place) (dy, x tensor.Tensor) {
	v := r.memory.view(r, p)
	n := r.opt.Tokens
	dy = tensor.Tensor{Buf: v.Buf, Offset: v.Offset, R: n, C: p.R, LD: (p.R + 3) &^ 3}
	x = tensor.Tensor{Buf: v.Buf, Offset: v.Offset + align256(dy.Bytes()), R: n, C: p.C, LD: p.LD()}
	return dy, x
}

// keep copies a parameter's dy and x, which the backward pass overwrites.
func (r *Resolver) keep(p Place, dy, x tensor.Tensor, seg tensor.Segments) {
	e := r.store.Engine
	r.memory.written(r, p)
	keptDY, keptX := r.kept(p)
	e.Dev.Copy(keptDY.View(), dy.View())
	e.Dev.Copy(keptX.View(), x.View())
	r.ghost.seg = seg
}

// addGhost adds the Gram of a parameter whose activations were kept.
func (r *Resolver) addGhost(g *tensor.GramSum, p Place) {
	dy, x := r.kept(p)
	g.AddGhost(dy, x, r.ghost.seg, r.ghost.scratch)
}

// combineGhost makes the parameter's gradient Σ wₘ dyₘᵀ xₘ. Rows of weight 0
// become exact zeros in both factors, so that a NaN in them does no harm.
func (r *Resolver) combineGhost(p Place, weights []float64) {
	e := r.store.Engine
	dy, x := r.kept(p)
	starts := r.ghost.seg.Starts
	e.Upload(r.ghost.weights, tokenWeights(weights, starts, 1))
	e.ScaleRowsInPlace(dy, r.ghost.weights)
	if slices.Contains(weights, 0) {
		e.Upload(r.ghost.weights, tokenWeights(nonZero(weights), starts, 1))
		e.ScaleRowsInPlace(x, r.ghost.weights)
	}
	e.MatMul(r.inPlace(p).Objective(0), dy, x, tensor.TN, false)
}

// nonZero is 1 for every weight but 0.
func nonZero(weights []float64) []float64 {
	out := make([]float64, len(weights))
	for i, w := range weights {
		if w != 0 {
			out[i] = 1
		}
	}
	return out
}
