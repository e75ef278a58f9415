package bench

import (
	"context"
	"fmt"
	"time"

	"gonum.org/v1/gonum/mat"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/fault"
	"concord/internal/report"
	"concord/internal/step"
	"concord/moo"
	"concord/tensor"
)

// separate makes steps in the way that implementations of gradient surgery make
// them in automatic-differentiation frameworks: one forward pass, then one
// backward pass of the whole batch per language, M full gradients side by side,
// one Gram of them all, one solve. It is here to be measured against a run's own
// steps, on the same kernels.
type separate struct {
	*step.Replica
	method moo.Method
	all    []tensor.Tensor // by bucket: (M, Size) gradients
	gram   tensor.GramScratch
}

// newSeparate makes r, which must be of method "mean", ready for steps of the named
// Gram method. close frees its memory.
func newSeparate(r *step.Replica, method string) (*separate, error) {
	if !r.Objective.Static() {
		return nil, fmt.Errorf("separate backward passes need a trainer of method mean, not %s", r.Objective.Method(""))
	}
	m, err := moo.New(method, moo.ForTraining(method, nil))
	if err != nil {
		return nil, err
	}
	if err := r.BackwardAgain(); err != nil {
		return nil, err
	}
	s := &separate{Replica: r, method: m}
	largest := 0
	for _, b := range r.Store.Layout.Buckets {
		s.all = append(s.all, r.Engine.New(gpu.RoleRows, "full gradients", len(r.Langs), b.Size))
		largest = max(largest, b.Size)
	}
	s.gram = r.Engine.NewGramScratch(len(r.Langs), largest)
	return s, fault.Device(r.Engine.Dev.Err())
}

// close frees the gradients; the replica stays open.
func (s *separate) close() {
	for _, t := range s.all {
		t.Buf.Release()
	}
	s.gram.Release()
}

// step trains on the next batch.
func (s *separate) step(context.Context) (report.Step, error) {
	start := time.Now()
	b := s.Sampler.Batch(s.Done)
	if b.Err != nil {
		return report.Step{}, fault.Data(b.Err)
	}
	p := s.Whole(b)
	s.Objective.Begin(int64(s.Done), b.Supervised, nil, p.LossByTask)
	scales, err := s.Objective.Scales(b.Supervised)
	if err != nil {
		return report.Step{}, err
	}
	if err := s.Input.Upload(p.TokensOf(0, scales)); err != nil {
		return report.Step{}, fault.Data(err)
	}
	s.Model.Forward(s.Input)
	for m := range s.Langs {
		if err := s.backward(p, m); err != nil {
			return report.Step{}, fault.Classify(err)
		}
	}
	groups, err := s.resolve()
	if err != nil {
		return report.Step{}, fault.Classify(err)
	}
	if _, err := s.Adam.Step(groups, s.LR(s.Done)); err != nil {
		return report.Step{}, step.Divergence(err)
	}
	if err := s.Engine.Dev.Sync(); err != nil {
		return report.Step{}, fault.Classify(err)
	}
	s.Done++
	return report.Step{Step: s.Done, Positions: len(b.IDs), GradNorm: report.Float(groups.Norm), Seconds: time.Since(start).Seconds()}, nil
}

// backward is one pass for language m alone; its gradient becomes row m.
func (s *separate) backward(p *step.Part, m int) error {
	scales := make([]float32, len(s.Langs))
	if n := p.Supervised[m]; n > 0 {
		scales[m] = 1 / float32(n)
	}
	if err := s.Input.Upload(p.TokensOf(0, scales)); err != nil {
		return err
	}
	s.Resolver.Begin(1)
	s.Model.Backward(s.Input, s.Resolver, nil)
	for i, all := range s.all {
		row := gpu.View{Buf: all.Buf, Offset: int64(m) * int64(all.LD) * 4, Size: int64(all.LD) * 4}
		s.Engine.Dev.Copy(row, s.Store.Flat(bucket.Gradient, i).View())
	}
	return s.Engine.Dev.Err()
}

// resolve makes the one gradient from the M full ones.
func (s *separate) resolve() (bucket.Report, error) {
	n := len(s.Langs)
	sum := make([]float64, n*n)
	for _, all := range s.all {
		g, err := s.Engine.Gram(rowsOf(all), s.gram).Wait()
		if err != nil {
			return bucket.Report{}, err
		}
		for i := range sum {
			sum[i] += g[i]
		}
	}
	r, err := moo.Solve(s.method, moo.Input{G: mat.NewSymDense(n, sum), Seed: s.Settings.Objective.Seed, Step: int64(s.Done)})
	if err != nil {
		return bucket.Report{}, err
	}
	w := make([]float32, n)
	for i, x := range r.Weights {
		w[i] = float32(x)
	}
	for i, all := range s.all {
		s.Engine.Combine(s.Store.Flat(bucket.Gradient, i), rowsOf(all), w, false)
	}
	return bucket.Report{Norm: r.Diagnostics["norm"]}, nil
}

// rowsOf is the languages' gradients of a bucket, one row each.
func rowsOf(all tensor.Tensor) tensor.TaskGrads {
	return tensor.TaskGrads{Buf: all.Buf, M: all.R, Stride: all.LD, R: 1, C: all.C, LD: all.LD}
}
