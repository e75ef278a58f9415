package exchange

import (
	"context"
	"fmt"

	"concord/bucket"
	"concord/internal/cluster/worker"
	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/optim"
	"concord/internal/safetensors"
	"concord/internal/step"
	"concord/transport"
)

// Sharded has AdamW's moments with the groups' owners (ZeRO-1; Rajbhandari et al., SC
// 2020), in host memory as the member keeps them: m and then v of a group. An owner
// updates its groups after their resolution, which is of either kind, and sends the
// weights.
type Sharded struct {
	resolution
	shard    *optim.Shard
	restored map[int][]byte // moments, by group, until they are brought
}

// resolution is an exchange that gives every group's gradient before any is applied.
type resolution interface {
	scheme
	// resolve waits until every group is resolved and the step is committed.
	resolve() (bucket.Report, error)
	// resolved is the batch whose gradients these are.
	resolved() *data.Batch
}

func newSharded(d *Distributed) *Sharded {
	x := &Sharded{resolution: newGradients(d), shard: d.Adam.NewShard()}
	if d.opt.Local {
		x.resolution = newLocal(d)
	}
	d.self, d.offered, d.alike = x, step.States[:1], step.States[:1]
	return x
}

// Finish implements step.Exchange: this machine updates its groups and takes the
// others' weights. Before the step is committed nothing changes that a machine holds:
// it may have to be done again.
func (x *Sharded) Finish(ctx context.Context) (step.Outcome, error) {
	groups, err := x.resolve()
	if err != nil {
		return step.Outcome{}, err
	}
	d, b := x.Machines(), x.resolved()
	if err := d.Diverged(groups, b.Supervised); err != nil {
		return step.Outcome{}, err
	}
	clip, err := x.update(groups, b)
	if err != nil {
		return step.Outcome{}, err
	}
	losses := d.finalLosses(b)
	d.Objective.RecordLosses(losses)
	return step.Outcome{Groups: groups, Losses: losses, LR: d.LR(d.Done), Clip: clip, Steps: 1, Exchange: d.traffic()}, nil
}

// update makes the step's update on all machines together.
func (x *Sharded) update(groups bucket.Report, b *data.Batch) (clip float64, err error) {
	d := x.Machines()
	if clip, err = x.shard.Start(groups, d.LR(d.Done)); err != nil {
		return 0, step.Divergence(err)
	}
	after, err := x.updateOwn(d.plan)
	if err != nil {
		return 0, err
	}
	if err := d.plan.AllGatherWeights(); err != nil {
		return 0, err
	}
	if err := d.Diverged(groups, d.counted(b)); err != nil { // known from the commit on
		return 0, err
	}
	for u := range d.Store.Layout.Groups {
		w, err := d.plan.Weights(u)
		if err != nil {
			return 0, fault.Cluster(err)
		}
		setGroup(d.Replica, bucket.Weight, u, w)
	}
	if err := x.backUp(d.plan, after); err != nil {
		return 0, err
	}
	d.plan.Keep(after)
	x.shard.Done()
	return clip, nil
}

// updateOwn updates the groups that this machine owns and returns their moments.
func (x *Sharded) updateOwn(s *worker.Step) (after map[int][]byte, err error) {
	after = map[int][]byte{}
	for _, u := range s.Mine() {
		before, err := x.moments(s.Moments(u), u)
		if err != nil {
			return nil, err
		}
		weights, m, err := x.shard.Update(u, before)
		if err != nil {
			return nil, fault.Classify(err)
		}
		s.Updated(u, weights)
		after[u] = transport.F32.Encode(m)
	}
	return after, nil
}

// backUp recomputes the moments of the groups that this machine is the backup of.
func (x *Sharded) backUp(s *worker.Step, after map[int][]byte) error {
	for _, u := range s.Backed() {
		g, err := s.Gradient(u)
		if err != nil {
			return fault.Cluster(err)
		}
		before, err := x.moments(s.Moments(u), u)
		if err != nil {
			return err
		}
		after[u] = transport.F32.Encode(x.shard.Moments(before, g))
	}
	return nil
}

// moments decodes those of group u; nil is zeros.
func (x *Sharded) moments(b []byte, u int) ([]float32, error) {
	if len(b) == 0 {
		return nil, nil
	}
	group := x.Machines().Store.Layout.Groups[u]
	m := make([]float32, 2*group.Size)
	if err := transport.F32.Decode(m, b); err != nil {
		return nil, fault.Cluster(fmt.Errorf("the optimizer's state of %q: %w", group.Name, err))
	}
	return m, nil
}

// bring hands the moments that this machine has from the beginning, or from a
// checkpoint, to the member, which gives them to their owners.
func (x *Sharded) bring() {
	d := x.Machines()
	if x.restored == nil {
		x.restored = map[int][]byte{}
		for u := range d.Store.Layout.Groups {
			x.restored[u] = nil // zeros
		}
	}
	d.member.Hold(d.Done, x.restored)
	x.restored = nil
}

// Restore implements Exchange: a checkpoint's moments go to host memory. The state of
// another machine has none.
func (x *Sharded) Restore(f *safetensors.Reader, c Carry) error {
	d := x.Machines()
	if d.member == nil {
		x.restored = map[int][]byte{}
		for u, group := range d.Store.Layout.Groups {
			m := make([]float32, 2*group.Size)
			for _, p := range placesOf(d.Store.Layout, u) {
				for k, s := range step.States[1:] {
					if err := readEntry(f, string(s)+"/"+p.Name, p, m[k*group.Size:]); err != nil {
						return err
					}
				}
			}
			x.restored[u] = transport.F32.Encode(m)
		}
	}
	return x.resolution.Restore(f, c)
}

// Reader implements Exchange: the moments are gathered from the machines that have
// them. ctx ends the wait.
func (x *Sharded) Reader(ctx context.Context) func(bucket.State, string) ([]float32, error) {
	d := x.Machines()
	l := d.Store.Layout
	last, m := -1, []float32(nil)
	return func(s bucket.State, name string) ([]float32, error) {
		if s == bucket.Weight {
			return d.Store.Read(s, name)
		}
		place, ok := l.Place(name)
		if !ok {
			return nil, fmt.Errorf("exchange: the model has no parameter %q", name)
		}
		u := l.Buckets[place.Bucket].Group
		if u != last {
			b, err := d.member.Moments(ctx, d.Done, u)
			if err == nil {
				m, err = x.moments(b, u)
			}
			if err != nil {
				return nil, fault.Cluster(err)
			}
			if last = u; m == nil {
				m = make([]float32, 2*l.Groups[u].Size)
			}
		}
		at := 0
		for _, p := range placesOf(l, u) {
			if p.Name == name {
				at = p.at
			}
		}
		if s == bucket.Second {
			at += l.Groups[u].Size
		}
		return unpad(m[at:], place.R, place.C, place.LD()), nil
	}
}

// Release implements step.Exchange.
func (x *Sharded) Release() { x.shard.Release() }
