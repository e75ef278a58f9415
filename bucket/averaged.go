package bucket

import (
	"encoding/json"
	"fmt"

	"concord/bucket/exchange"
)

// averaged is a step on many machines in which each resolves the objectives that it has
// rows of, by themselves, and a group's owner adds up the machines' gradients.
type averaged struct {
	alone
	x      exchange.Exchange
	losses func() ([]float64, error) // the sum over this machine's part
	share  float32                   // the part of this machine's gradient
	final  bool
}

// BeginLocal is BeginExchange for links that are too slow for a row of every
// objective: each machine resolves those that it has rows of, by themselves, and the
// owner adds up the machines' gradients, this one's times share. That is an
// approximation: conflicts between objectives of different machines are averaged, not
// resolved, and the methods' state stays on each machine.
func (r *Resolver) BeginLocal(micro int, x exchange.Exchange, slices []Slice, losses func() ([]float64, error), share float64) error {
	if err := r.shareable(); err != nil {
		return err
	}
	r.share(slices)
	r.begin(micro, &averaged{alone: alone{r: r}, x: x, losses: losses, share: float32(share)})
	return nil
}

func (f *averaged) ready(i int) {
	f.alone.ready(i)
	if !f.r.applies() {
		f.drain(false)
	}
}

func (f *averaged) left() { f.drain(false) }

func (f *averaged) makeRoom() {
	if i, ok := f.next(); ok {
		f.resolve(i)
	}
}

func (f *averaged) finish() {
	for i, ok := f.next(); ok; i, ok = f.next() {
		f.resolve(i)
	}
	f.drain(true)
}

func (f *averaged) follows() bool { return len(f.x.Rows()) == 0 }

// resolve resolves group i here and sends its gradient. Static weights are applied
// without looking at its Gram.
func (f *averaged) resolve(i int) {
	s, err := f.r.solution(i, rounded(f.r.opt.Solver.StaticWeights(i)))
	if err != nil {
		f.r.fail(fmt.Errorf("bucket: %q: %w", f.r.store.Layout.Groups[i].Name, err))
		return
	}
	f.push(i, s)
}

// push sends group i's gradient, which was resolved here as s says.
func (f *averaged) push(i int, s Solution) {
	reads, size := f.r.readCombined(i, s)
	shared := f.r.shared
	f.r.pushes.Go(func() {
		out, all, err := withLosses(reads, 1, size, f.losses)
		if err != nil {
			f.x.Abort(err)
			return
		}
		for k := range out[0] {
			out[0][k] *= f.share
		}
		for k, part := range shared.cut(i, out) {
			f.x.Push(k, part, all)
		}
	})
}

// drain takes the events of the other machines; with wait until the step is
// committed.
func (f *averaged) drain(wait bool) {
	r := f.r
	for r.err == nil && !f.final {
		e, err := f.x.Next(wait)
		switch {
		case err != nil:
			r.fail(err)
		case e.Kind == exchange.Sum:
			if err := f.takeSum(e); err != nil {
				r.fail(fmt.Errorf("bucket: %q: %w", r.nameOf(e.Slice), err))
			}
		case e.Kind == exchange.Gradient:
			r.takeResolved(e)
		case e.Kind == exchange.Final:
			f.final = true
		default:
			return
		}
	}
}

// takeSum makes the sum of the machines' gradients a slice's gradient.
func (f *averaged) takeSum(e exchange.Event) error {
	r, slice := f.r, f.r.shared.slices[e.Slice]
	sum := e.Rows[0]
	if sum == nil {
		sum = make([]float32, slice.Size())
	}
	if r.shared.leads(e.Slice) {
		r.reports[slice.Group] = BucketReport{Name: r.nameOf(e.Slice), Size: r.store.Layout.Groups[slice.Group].Size}
	}
	err := r.announce(f.x, e, sum, func(norm2 float64) ([]byte, error) {
		return json.Marshal(sharedGroup{Norm2: number(norm2)})
	})
	if err != nil {
		return err
	}
	return r.store.Engine.Dev.Err()
}
