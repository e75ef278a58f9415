package train

import (
	"context"
	"fmt"

	"concord/bucket"
	"concord/internal/cluster"
	"concord/internal/data"
	"concord/internal/safetensors"
	"concord/transport"
)

// A sharded run (cluster.sync = "parameters") has AdamW's moments with the units'
// owners, in host memory as the member keeps them: m and then v of a unit, laid out
// as the unit's buckets one after the other.

// kept are the states that stay on the device from step to step.
func (t *Trainer) kept() []bucket.State {
	if t.cfg.Sharded() {
		return states[:1]
	}
	return states
}

// update applies a step's gradients, here or with the other machines, and returns
// the step's loss by language and the factor that clipping scaled it by.
func (t *Trainer) update(b *data.Batch, resolved bucket.Report, lr float64) (byLang []float64, clip float64, err error) {
	if t.cfg.Sharded() {
		if clip, err = t.updateShared(b, resolved, lr); err != nil {
			return nil, 0, err
		}
		byLang, err = t.settle(b)
		return byLang, clip, classify(err)
	}
	if byLang, err = t.settle(b); err != nil {
		return nil, 0, classify(err)
	}
	if err := t.diverged(b, resolved); err != nil {
		return nil, 0, err
	}
	clip, err = t.adam.Step(resolved, lr)
	return byLang, clip, divergence(err)
}

// updateShared updates this machine's units, and takes the others' weights. Before
// the step is committed nothing changes that a machine holds: it may have to be
// done again.
func (t *Trainer) updateShared(b *data.Batch, resolved bucket.Report, lr float64) (clip float64, err error) {
	if t.team == nil {
		return 0, fmt.Errorf("train: cluster.sync = \"parameters\" needs the run's machines")
	}
	if err := t.diverged(b, resolved); err != nil {
		return 0, err
	}
	if clip, err = t.shard.Start(resolved, lr); err != nil {
		return 0, divergence(err)
	}
	s, after := t.team.step, map[int][]byte{}
	for _, u := range s.Mine() {
		before, err := t.moments(s.Moments(u), u)
		if err != nil {
			return 0, err
		}
		weights, m, err := t.shard.Update(u, before)
		if err != nil {
			return 0, classify(err)
		}
		s.Updated(u, weights)
		after[u] = transport.F32.Encode(m)
	}
	if err := s.Settle(); err != nil {
		return 0, err
	}
	for u := range t.store.Layout.Units {
		w, err := s.Weights(u)
		if err != nil {
			return 0, as(ErrCluster, err)
		}
		t.setUnit(bucket.Weight, u, w)
	}
	if err := t.backUp(s, after); err != nil {
		return 0, err
	}
	s.Keep(after)
	t.shard.Done()
	return clip, nil
}

// backUp recomputes the moments of the units that this machine is the backup of.
func (t *Trainer) backUp(s *cluster.Step, after map[int][]byte) error {
	for _, u := range s.Backed() {
		g, err := s.Gradient(u)
		if err != nil {
			return as(ErrCluster, err)
		}
		before, err := t.moments(s.Moments(u), u)
		if err != nil {
			return err
		}
		after[u] = transport.F32.Encode(t.shard.Moments(before, g))
	}
	return nil
}

// moments decodes those of unit u; nil is zeros.
func (t *Trainer) moments(b []byte, u int) ([]float32, error) {
	if len(b) == 0 {
		return nil, nil
	}
	x := make([]float32, 2*t.store.Layout.Units[u].Size)
	if err := transport.F32.Decode(x, b); err != nil {
		return nil, as(ErrCluster, fmt.Errorf("the optimizer's state of %q: %w", t.store.Layout.Units[u].Name, err))
	}
	return x, nil
}

// entrust hands the moments that this machine has from the beginning, or from a
// checkpoint, to the member, which gives them to their owners.
func (t *Trainer) entrust() {
	if !t.cfg.Sharded() {
		return
	}
	if t.restored == nil {
		t.restored = map[int][]byte{}
		for u := range t.store.Layout.Units {
			t.restored[u] = nil // zeros
		}
	}
	t.team.member.Hold(t.step, t.restored)
	t.restored = nil
}

// restoreMoments reads a checkpoint's moments into host memory.
func (t *Trainer) restoreMoments(f *safetensors.Reader) error {
	t.restored = map[int][]byte{}
	for u, unit := range t.store.Layout.Units {
		x := make([]float32, 2*unit.Size)
		for _, p := range t.placesOf(u) {
			for k, s := range states[1:] {
				v, err := f.ReadFloat32(string(s) + "/" + p.Name)
				if err != nil {
					return DataError(err)
				}
				if len(v) != p.R*p.C {
					return DataError(fmt.Errorf("%s of %s: %d values, not %d×%d", s, p.Name, len(v), p.R, p.C))
				}
				pad(x[k*unit.Size+p.at:], v, p.R, p.C, p.LD())
			}
		}
		t.restored[u] = transport.F32.Encode(x)
	}
	return nil
}

// unitPlace is a parameter's place in its unit.
type unitPlace struct {
	bucket.Place
	at int // elements from the unit's beginning
}

func (t *Trainer) placesOf(u int) (out []unitPlace) {
	base := 0
	for _, b := range t.store.Layout.Units[u].Buckets {
		for _, p := range t.store.Layout.Buckets[b].Params {
			out = append(out, unitPlace{p, base + p.Offset})
		}
		base += t.store.Layout.Buckets[b].Size
	}
	return out
}

// reader reads the states of a checkpoint, parameter by parameter: a sharded run
// gathers the moments from the machines that have them.
func (t *Trainer) reader() func(bucket.State, string) ([]float32, error) {
	if !t.cfg.Sharded() {
		return t.store.Read
	}
	last, x := -1, []float32(nil)
	return func(s bucket.State, name string) ([]float32, error) {
		if s == bucket.Weight {
			return t.store.Read(s, name)
		}
		place, _ := t.store.Layout.Place(name)
		u := t.store.Layout.Buckets[place.Bucket].Unit
		size := t.store.Layout.Units[u].Size
		if u != last {
			b, err := t.team.member.Moments(context.Background(), t.step, u)
			if err == nil {
				x, err = t.moments(b, u)
			}
			if err != nil {
				return nil, as(ErrCluster, err)
			}
			if last = u; x == nil {
				x = make([]float32, 2*size)
			}
		}
		at := 0
		for _, p := range t.placesOf(u) {
			if p.Name == name {
				at = p.at
			}
		}
		if s == bucket.Second {
			at += size
		}
		return unpad(x[at:], place.R, place.C, place.LD()), nil
	}
}

// pad writes r rows of c values each to rows of ld values.
func pad(to, x []float32, r, c, ld int) {
	for i := range r {
		copy(to[i*ld:], x[i*c:(i+1)*c])
	}
}

// unpad is r rows of c values each, of rows of ld values.
func unpad(x []float32, r, c, ld int) []float32 {
	out := make([]float32, 0, r*c)
	for i := range r {
		out = append(out, x[i*ld:i*ld+c]...)
	}
	return out
}
