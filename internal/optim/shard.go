package optim

import (
	"fmt"
	"math"

	"concord/bucket"
	"concord/gpu"
	"concord/tensor"
)

// Shard updates groups whose moments are not in the store but with the caller, in
// host memory: those that a machine owns where many share the optimizer's state
// (ZeRO-1; Rajbhandari et al., SC 2020). The store's weights stay as they are. The
// arithmetic is AdamW.Step's, to the bit, for states of every type.
type Shard struct {
	o       *AdamW
	kept    []bucket.State                 // that the optimizer keeps besides the weights
	buffers map[bucket.State]tensor.Tensor // of one bucket at a time
	params  tensor.AdamWParams
}

// NewShard allocates memory for the largest bucket. kept are the states that the optimizer
// keeps besides the weights, in the order in which the caller's bytes have them.
func (o *AdamW) NewShard(kept ...bucket.State) *Shard {
	s := &Shard{o: o, kept: kept, buffers: map[bucket.State]tensor.Tensor{}}
	for _, state := range append([]bucket.State{bucket.Weight}, kept...) {
		most := int64(0)
		for b := range o.store.Layout.Buckets {
			most = max(most, o.store.BucketBytes(state, b))
		}
		n := int(tensor.F32.Elements(most))
		s.buffers[state] = o.store.Engine.New(gpu.RoleOptimizer, string(state)+" being updated", 1, n)
	}
	return s
}

// Release frees it.
func (s *Shard) Release() {
	for _, t := range s.buffers {
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

// Bytes is the size of the kept states of a group.
func (s *Shard) Bytes(group int) (n int64) {
	for _, state := range s.kept {
		n += s.o.store.GroupBytes(state, group)
	}
	return n
}

// Update returns the weights and the kept states after the update of a group whose
// gradient is in the store, both as bucket.Host has them, the kept states one after the
// other. before is as after is; none is zeros.
func (s *Shard) Update(group int, before []byte) (weights, after []byte, err error) {
	store := s.o.store
	store.Engine.Dev.Span("optimizer")
	if len(before) > 0 && int64(len(before)) != s.Bytes(group) {
		return nil, nil, fmt.Errorf("optim: %d bytes for the kept states of %q, of %d", len(before),
			store.Layout.Groups[group].Name, s.Bytes(group))
	}
	parts := make([][]byte, len(s.kept))
	from := map[bucket.State]int64{}
	for _, b := range store.Layout.Groups[group].Buckets {
		at := int64(0)
		for _, state := range s.kept {
			s.set(state, b, before, at+from[state])
			at += store.GroupBytes(state, group)
			from[state] += store.BucketBytes(state, b)
		}
		w, kept, err := s.bucket(b)
		if err != nil {
			return nil, nil, err
		}
		weights = append(weights, w...)
		for k := range kept {
			parts[k] = append(parts[k], kept[k]...)
		}
	}
	for _, p := range parts {
		after = append(after, p...)
	}
	return weights, after, nil
}

// set puts a state of bucket b, which begins at byte at of all, where it is updated.
func (s *Shard) set(state bucket.State, b int, all []byte, at int64) {
	v := s.view(state, b)
	if len(all) == 0 {
		s.o.store.Engine.Dev.Zero(v)
		return
	}
	s.o.store.Engine.Dev.Write(v, all[at:at+v.Size])
}

func (s *Shard) view(state bucket.State, b int) gpu.View {
	return gpu.View{Buf: s.buffers[state].Buf, Size: s.o.store.BucketBytes(state, b)}
}

// bucket updates bucket b, whose kept states are in place.
func (s *Shard) bucket(b int) (weights []byte, kept [][]byte, err error) {
	store, dev := s.o.store, s.o.store.Engine.Dev
	w := s.view(bucket.Weight, b)
	dev.Copy(w, gpu.View{Buf: store.Buffer(bucket.Weight, b), Size: w.Size})
	for _, r := range s.o.runs {
		if r.bucket == b {
			s.o.update(r, s.params, func(state bucket.State, _ int) *gpu.Buffer { return s.buffers[state].Buf })
		}
	}
	reads := []*gpu.Readback{dev.Read(w)}
	for _, state := range s.kept {
		reads = append(reads, dev.Read(s.view(state, b)))
	}
	var out [][]byte
	for _, r := range reads {
		x, err := r.Wait()
		if err != nil {
			return nil, nil, err
		}
		out = append(out, x)
	}
	return out[0], out[1:], nil
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
	c := o.config
	return tensor.AdamWParams{LR: lr, Beta1: c.Beta1, Beta2: c.Beta2, Eps: c.Eps, Step: o.steps + 1, GradScale: scale}
}
