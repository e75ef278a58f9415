package optim

import (
	"fmt"
	"math"
	"slices"

	"concord/bucket"
	"concord/gpu"
	"concord/tensor"
)

// Shard updates groups whose moments are not in the store but with the caller, in
// host memory: those that a machine owns where many share the optimizer's state
// (ZeRO-1; Rajbhandari et al., SC 2020). The store's weights stay as they are. The
// arithmetic is AdamW.Step's, to the bit.
type Shard struct {
	o            *AdamW
	weight, m, v tensor.Tensor // of one bucket at a time
	params       tensor.AdamWParams
}

// NewShard allocates memory for the largest bucket.
func (o *AdamW) NewShard() *Shard {
	most := 0
	for _, b := range o.store.Layout.Buckets {
		most = max(most, b.Size)
	}
	e := o.store.Engine
	return &Shard{o: o, weight: e.New(gpu.RoleOptimizer, "weights being updated", 1, most),
		m: e.New(gpu.RoleOptimizer, "m being updated", 1, most), v: e.New(gpu.RoleOptimizer, "v being updated", 1, most)}
}

// Release frees it.
func (s *Shard) Release() {
	for _, t := range []tensor.Tensor{s.weight, s.m, s.v} {
		t.Buf.Release()
	}
}

// Start begins an update with the learning rate lr, from the gradients that r
// reports on, which may be the same update again. It returns the clipping factor;
// a gradient that is not finite is a *NonFiniteError.
func (s *Shard) Start(r bucket.Report, lr float64) (scale float64, err error) {
	if scale, err = s.o.clip(r); err == nil {
		s.params = s.o.params(lr, scale)
	}
	return scale, err
}

// Done counts the update that was started as made.
func (s *Shard) Done() { s.o.steps++ }

// Update returns the weights, (group size), and the moments, m and then v, after
// the update of a group whose gradient is in the store. before is as after is; nil
// is zeros.
func (s *Shard) Update(unit int, before []float32) (weights, after []float32, err error) {
	l, e := s.o.store.Layout, s.o.store.Engine
	dev := e.Dev
	dev.Span("optimizer")
	size := l.Groups[unit].Size
	if before != nil && len(before) != 2*size {
		return nil, nil, fmt.Errorf("optim: %d values for the moments of %q, of %d", len(before), l.Groups[unit].Name, 2*size)
	}
	weights, after = make([]float32, 0, size), make([]float32, 2*size)
	for _, b := range l.Groups[unit].Buckets {
		at, n := len(weights), l.Buckets[b].Size
		w, m, v := first(s.weight, n), first(s.m, n), first(s.v, n)
		dev.Copy(w.View(), s.o.store.Flat(bucket.Weight, b).View())
		if before == nil {
			dev.Zero(m.View())
			dev.Zero(v.View())
		} else {
			e.Upload(m, before[at:at+n])
			e.Upload(v, before[size+at:size+at+n])
		}
		for _, r := range s.o.runs {
			if r.bucket == b {
				s.run(r)
			}
		}
		reads := []*gpu.Readback{dev.Read(w.View()), dev.Read(m.View()), dev.Read(v.View())}
		weights = weights[:at+n]
		for k, to := range [][]float32{weights[at:], after[at : at+n], after[size+at : size+at+n]} {
			got, err := reads[k].Wait()
			if err != nil {
				return nil, nil, err
			}
			copy(to, tensor.Unpack(got, 1, n, n))
		}
	}
	return weights, after, nil
}

// first is the first n values of t.
func first(t tensor.Tensor, n int) tensor.Tensor {
	t.C, t.LD = n, n
	return t
}

// run updates a range of the bucket that is in s.
func (s *Shard) run(r run) {
	p := s.params
	if r.decay {
		p.WeightDecay = s.o.config.WeightDecay
	}
	n := r.end - r.start
	of := func(t tensor.Tensor) tensor.Tensor {
		return tensor.Tensor{Buf: t.Buf, Offset: tensor.F32.Bytes(int64(r.start)), R: 1, C: n, LD: n}
	}
	s.o.store.Engine.AdamW(of(s.weight), of(s.m), of(s.v), s.o.part(bucket.Gradient, r), p)
}

// Moments returns the moments after the update that was started, from those
// before it and the group's gradient, without a device: the state that a backup keeps. They
// are Update's up to the rounding of a device that fuses multiplications and
// additions.
func (s *Shard) Moments(before, gradient []float32) []float32 {
	n := len(gradient)
	out := make([]float32, 2*n)
	if before != nil {
		out = slices.Clone(before)
	}
	scale, b1, b2 := float32(s.params.GradScale), float32(s.params.Beta1), float32(s.params.Beta2)
	n1, n2 := float32(1-s.params.Beta1), float32(1-s.params.Beta2)
	for i, g := range gradient {
		g = float32(scale * g)
		m, v := float32(b1*out[i])+float32(n1*g), float32(b2*out[n+i])+float32(n2*float32(g*g))
		out[i], out[n+i] = m, v
	}
	return out
}

// clip is the factor that brings a gradient's norm down to the largest allowed.
func (o *AdamW) clip(r bucket.Report) (float64, error) {
	if math.IsNaN(r.Norm) || math.IsInf(r.Norm, 0) {
		return 0, &NonFiniteError{Step: o.steps + 1, Norm: r.Norm, Bucket: firstBad(r)}
	}
	return o.ClipScale(r.Norm), nil
}

// ClipScale is the factor that brings a finite norm down to the largest allowed.
func (o *AdamW) ClipScale(norm float64) float64 {
	if o.config.Clip > 0 && norm > o.config.Clip {
		return o.config.Clip / norm
	}
	return 1
}

// params are the next update's, without the decay.
func (o *AdamW) params(lr, scale float64) tensor.AdamWParams {
	return tensor.AdamWParams{LR: lr, Beta1: o.config.Beta1, Beta2: o.config.Beta2, Eps: o.config.Eps, Step: o.steps + 1, GradScale: scale}
}
