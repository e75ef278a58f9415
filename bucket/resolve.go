package bucket

import (
	"fmt"

	"gonum.org/v1/gonum/mat"
)

// resolveOldest waits for the oldest pending Gram, solves it, combines the
// bucket's gradient and frees its rows. A failure is kept for Finish.
func (r *Resolver) resolveOldest() {
	b := r.pending[0]
	r.pending = r.pending[1:]
	defer r.buckets[b].slot.free()
	bk := r.store.Layout.Buckets[b]
	g, err := r.wait(b)
	if err != nil {
		r.fail(fmt.Errorf("bucket: %q: %w", bk.Name, err))
		return
	}
	weights, err := r.solve(b, g)
	if err != nil {
		r.fail(fmt.Errorf("bucket: %q: %w", bk.Name, err))
		return
	}
	r.combine(b, weights)
	r.reports[b] = newBucketReport(bk.Name, bk.Size, g, weights)
}

// resolveGlobal solves all buckets as one: the Gram of rows that lie in several
// buffers is the sum of the buffers' Grams.
func (r *Resolver) resolveGlobal() []BucketReport {
	m := r.opt.Objectives
	sum := mat.NewSymDense(m, nil)
	size := 0
	for _, b := range r.pending {
		g, err := r.wait(b)
		if err != nil {
			r.fail(fmt.Errorf("bucket: %q: %w", r.store.Layout.Buckets[b].Name, err))
			return nil
		}
		sum.AddSym(sum, g)
		size += r.store.Layout.Buckets[b].Size
	}
	weights, err := r.solve(0, sum)
	if err != nil {
		r.fail(fmt.Errorf("bucket: global: %w", err))
		return nil
	}
	for _, b := range r.pending {
		r.combine(b, weights)
		r.buckets[b].slot.free()
	}
	r.pending = r.pending[:0]
	return []BucketReport{newBucketReport("global", size, sum, weights)}
}

// wait returns the Gram of bucket b. What was recorded since its readback is
// submitted first, so that the device is busy meanwhile.
func (r *Resolver) wait(b int) (*mat.SymDense, error) {
	r.store.Engine.Dev.Span("solve")
	r.store.Engine.Dev.Flush()
	g, err := r.buckets[b].gram.Wait()
	if err != nil {
		return nil, err
	}
	return mat.NewSymDense(r.opt.Objectives, g), nil
}

// solve calls the solver and rounds its weights to what Combine applies.
func (r *Resolver) solve(b int, g *mat.SymDense) ([]float64, error) {
	in := mat.NewSymDense(g.SymmetricDim(), nil) // the solver may keep or change it
	in.CopySym(g)
	weights, err := r.opt.Solver(b, in)
	if err != nil {
		return nil, fmt.Errorf("solve: %w", err)
	}
	if len(weights) != r.opt.Objectives {
		return nil, fmt.Errorf("solve: %d weights for %d objectives", len(weights), r.opt.Objectives)
	}
	out := make([]float64, len(weights))
	for m, w := range weights {
		out[m] = float64(float32(w))
		if !finite(out[m]) {
			return nil, fmt.Errorf("solve: weight %d is %v", m, w)
		}
		if out[m] != 0 && !finite(g.At(m, m)) {
			return nil, fmt.Errorf("solve: weight %v for objective %d, whose gradient is not finite", w, m)
		}
	}
	return out, nil
}

func (r *Resolver) combine(b int, weights []float64) {
	w := make([]float32, len(weights))
	for m, x := range weights {
		w[m] = float32(x)
	}
	r.store.Engine.Dev.Span("combine")
	r.store.Engine.Combine(r.store.Flat(Gradient, b), r.flatRows(b), w, false)
	r.store.Engine.Dev.Span("backward")
}
