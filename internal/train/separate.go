package train

import (
	"context"
	"fmt"
	"time"

	"gonum.org/v1/gonum/mat"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/report"
	"concord/moo"
	"concord/tensor"
)

// Separate makes steps in the way that implementations of gradient surgery make
// them in automatic-differentiation frameworks: one forward pass, then one
// backward pass of the whole batch per language, M full gradients side by side,
// one Gram of them all, one solve. It is here to be measured against Step, on
// the same kernels; runs do not use it.
type Separate struct {
	t      *Trainer
	method moo.Method
	all    []tensor.Tensor // by bucket: (M, Size) gradients
	gram   tensor.GramScratch
}

// NewSeparate makes t, which must have been opened with method "mean", ready
// for steps of the named Gram method. Close frees what it allocates.
func NewSeparate(t *Trainer, method string) (*Separate, error) {
	if !t.objective.Static() {
		return nil, fmt.Errorf("separate backward passes need a trainer of method mean, not %s", t.objective.Method(""))
	}
	m, err := moo.New(method, moo.ForTraining(method, nil))
	if err != nil {
		return nil, err
	}
	s := &Separate{t: t, method: m}
	largest := 0
	for _, b := range t.store.Layout.Buckets {
		s.all = append(s.all, t.engine.New(gpu.RoleRows, "full gradients", len(t.langs), b.Size))
		largest = max(largest, b.Size)
	}
	s.gram = t.engine.NewGramScratch(len(t.langs), largest)
	return s, DeviceError(t.engine.Dev.Err())
}

// Close frees the gradients; the trainer stays open.
func (s *Separate) Close() {
	for _, t := range s.all {
		t.Buf.Release()
	}
	s.gram.Release()
}

// Step trains on the next batch.
func (s *Separate) Step() (report.Step, error) {
	t, start := s.t, time.Now()
	b := t.corpus.sampler.Batch(t.step)
	if err := t.begin(b); err != nil {
		return report.Step{}, err
	}
	if err := t.takePart(context.Background(), b); err != nil {
		return report.Step{}, err
	}
	if err := t.batch.Upload(t.tokens2device(t.part, 0, t.scales)); err != nil {
		return report.Step{}, DataError(err)
	}
	t.model.Forward(t.batch)
	for m := range t.langs {
		if err := s.backward(m); err != nil {
			return report.Step{}, classify(err)
		}
	}
	resolved, err := s.resolve()
	if err != nil {
		return report.Step{}, classify(err)
	}
	if _, err := t.adam.Step(resolved, t.schedule.At(int64(t.step))); err != nil {
		return report.Step{}, divergence(err)
	}
	if err := t.engine.Dev.Sync(); err != nil {
		return report.Step{}, classify(err)
	}
	t.step++
	return report.Step{Step: t.step, Tokens: total(b.Tokens), Positions: len(b.IDs), GradNorm: report.Float(resolved.Norm), Seconds: time.Since(start).Seconds()}, nil
}

// backward is one pass for language m alone; its gradient becomes row m.
func (s *Separate) backward(m int) error {
	t, b := s.t, s.t.part
	scales := make([]float32, len(t.langs))
	if n := b.Supervised[m]; n > 0 {
		scales[m] = 1 / float32(n)
	}
	if err := t.batch.Upload(t.tokens2device(b, 0, scales)); err != nil {
		return err
	}
	t.resolver.Begin(1)
	t.model.Backward(t.batch, t.resolver, nil)
	for i, all := range s.all {
		row := gpu.View{Buf: all.Buf, Offset: int64(m) * int64(all.LD) * 4, Size: int64(all.LD) * 4}
		t.engine.Dev.Copy(row, t.store.Flat(bucket.Gradient, i).View())
	}
	return t.engine.Dev.Err()
}

// resolve makes the one gradient from the M full ones.
func (s *Separate) resolve() (bucket.Report, error) {
	t, n := s.t, len(s.t.langs)
	sum := make([]float64, n*n)
	for _, all := range s.all {
		g, err := t.engine.Gram(s.rows(all), s.gram).Wait()
		if err != nil {
			return bucket.Report{}, err
		}
		for i := range sum {
			sum[i] += g[i]
		}
	}
	r, err := moo.Solve(s.method, moo.Input{G: mat.NewSymDense(n, sum), Seed: t.cfg.Run.Seed, Step: int64(t.step)})
	if err != nil {
		return bucket.Report{}, err
	}
	w := make([]float32, n)
	for i, x := range r.Weights {
		w[i] = float32(x)
	}
	for i, all := range s.all {
		t.engine.Combine(t.store.Flat(bucket.Gradient, i), s.rows(all), w, false)
	}
	return bucket.Report{Norm: r.Diagnostics["norm"]}, nil
}

// rows is the languages' gradients of a bucket, one row each.
func (s *Separate) rows(all tensor.Tensor) tensor.Rows {
	return tensor.Rows{Buf: all.Buf, M: all.R, Stride: all.LD, R: 1, C: all.C, LD: all.LD}
}
