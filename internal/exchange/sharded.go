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
)

// Sharded has the states that the optimizer keeps besides the weights with the groups'
// owners (ZeRO-1; Rajbhandari et al., SC 2020), in host memory as the member keeps them:
// those of a group one after the other, as a bucket.Host has them. An owner updates its
// groups after their resolution, which is of either kind, and sends the weights.
type Sharded struct {
	resolution
	shard    *optim.Shard
	restored *bucket.Host // moments until they are brought
}

// resolution is an exchange that gives every group's gradient before any is applied.
type resolution interface {
	scheme
	// resolve waits until every group is resolved and the step is committed (with
	// Sharded, which commits the weights: until every resolved gradient is there).
	resolve() (bucket.Report, error)
	// resolved is the batch whose gradients these are.
	resolved() *data.Batch
}

func newSharded(d *Distributed) *Sharded {
	x := &Sharded{resolution: newGradients(d), shard: d.Adam.NewShard(moments(d.Replica)...)}
	if d.opt.Local {
		x.resolution = newLocal(d)
	}
	d.self, d.offered, d.alike = x, d.offered[:1], d.alike[:1]
	return x
}

// moments are the states that the optimizer keeps besides the weights, and momentBytes
// their size for group u.
func moments(r *step.Replica) []bucket.State { return r.States()[1:] }

func momentBytes(r *step.Replica, u int) (n int64) {
	for _, s := range moments(r) {
		n += r.Store.GroupBytes(s, u)
	}
	return n
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
		weights, m, err := x.shard.Update(u, s.Moments(u))
		if err != nil {
			return nil, fault.Classify(err)
		}
		s.Updated(u, x.Machines().Store.Values(bucket.Weight, u, weights))
		after[u] = m
	}
	return after, nil
}

// backUp computes the moments of the groups that this machine is the backup of as their
// owner does.
func (x *Sharded) backUp(s *worker.Step, after map[int][]byte) error {
	for _, u := range s.Backed() {
		g, err := s.Gradient(u)
		if err != nil {
			return fault.Cluster(err)
		}
		setGroup(x.Machines().Replica, bucket.Gradient, u, g)
		if _, after[u], err = x.shard.Update(u, s.Moments(u)); err != nil {
			return fault.Classify(err)
		}
	}
	return nil
}

// bring hands the moments that this machine has from the beginning, or from a
// checkpoint, to the member, which gives them to their owners.
func (x *Sharded) bring() {
	d := x.Machines()
	all := map[int][]byte{}
	for u := range d.Store.Layout.Groups {
		all[u] = nil // zeros
		for _, s := range moments(d.Replica) {
			if x.restored != nil {
				all[u] = append(all[u], x.restored.Group(s, u)...)
			}
		}
	}
	d.member.Hold(d.Done, all)
	x.restored = nil
}

// Restore implements Exchange: a checkpoint's moments go to host memory. The state of
// another machine has none.
func (x *Sharded) Restore(f *safetensors.Reader, c Carry) error {
	d := x.Machines()
	if d.member == nil {
		x.restored = d.Store.NewHost(moments(d.Replica)...)
		for _, s := range moments(d.Replica) {
			if err := d.LoadTo(x.restored, f, s); err != nil {
				return err
			}
		}
	}
	return x.resolution.Restore(f, c)
}

// Reader implements Exchange: the moments are gathered from the machines that have
// them. ctx ends the wait.
func (x *Sharded) Reader(ctx context.Context) step.Source {
	d := x.Machines()
	return &gathered{d: d, ctx: ctx, last: -1, host: d.Store.NewHost()}
}

// gathered reads states whose moments are with the groups' owners.
type gathered struct {
	d    *Distributed
	ctx  context.Context
	host *bucket.Host // the moments of group last
	last int
}

// Read implements step.Source.
func (g *gathered) Read(s bucket.State, name string) ([]float32, error) {
	if s == bucket.Weight {
		return g.d.Store.Read(s, name)
	}
	if err := g.gather(name); err != nil {
		return nil, err
	}
	return g.host.Read(s, name)
}

// Raw implements step.Source.
func (g *gathered) Raw(s bucket.State, name string) ([]byte, error) {
	if s == bucket.Weight {
		return g.d.Store.Raw(s, name)
	}
	if err := g.gather(name); err != nil {
		return nil, err
	}
	return g.host.Raw(s, name)
}

// gather makes the moments of the parameter's group those at hand.
func (g *gathered) gather(name string) error {
	l := g.d.Store.Layout
	place, ok := l.Place(name)
	if !ok {
		return fmt.Errorf("exchange: the model has no parameter %q", name)
	}
	u := l.Buckets[place.Bucket].Group
	if u == g.last {
		return nil
	}
	b, err := g.d.member.Moments(g.ctx, g.d.Done, u)
	if err != nil {
		return fault.Cluster(err)
	}
	g.host, g.last = g.d.Store.NewHost(), u
	for _, s := range moments(g.d.Replica) {
		n := g.d.Store.GroupBytes(s, u)
		if len(b) == 0 {
			g.host.Set(s, u, make([]byte, n)) // zeros
			continue
		}
		g.host.Set(s, u, b[:n])
		b = b[n:]
	}
	return nil
}

// Release implements step.Exchange.
func (x *Sharded) Release() { x.shard.Release() }
