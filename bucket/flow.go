package bucket

import "concord/tensor"

// flow is how the groups of a step go from written to resolved: on this machine alone,
// or together with others. Each way is a file that is read alone: the resolver has the
// Gram, the solve and the combination of a group, and a flow says when.
type flow interface {
	// ready takes group i, whose last gradient was written.
	ready(i int)
	// makeRoom resolves the oldest group that holds memory, if one waits for it.
	makeRoom()
	// finish resolves the remaining groups.
	finish()
	// rows is where the rows of a parameter that is being resolved lie.
	rows(p Place) tensor.TaskGrads
	// left says that the backward pass has left a part of the model: groups that are
	// complete may be applied.
	left()
	// follows says that nothing is written here in this step.
	follows() bool
}

// alone resolves groups on this machine, in the order in which they become ready: while
// one's Gram is on its way, the backward pass writes the next.
type alone struct {
	r       *Resolver
	pending []int // groups whose Gram is on its way, oldest first
}

func (f *alone) ready(i int) {
	f.r.startIfRows(i)
	f.pending = append(f.pending, i)
}

func (f *alone) makeRoom() {
	if i, ok := f.next(); ok {
		f.r.resolveReady(i)
	}
}

// next takes the oldest pending group.
func (f *alone) next() (i int, ok bool) {
	if len(f.pending) == 0 {
		return 0, false
	}
	i, f.pending = f.pending[0], f.pending[1:]
	return i, true
}

func (f *alone) finish() {
	for i, ok := f.next(); ok; i, ok = f.next() {
		f.r.resolveReady(i)
	}
	if f.r.err == nil && !f.r.applies() {
		f.r.measure()
	}
}

func (f *alone) rows(p Place) tensor.TaskGrads { return f.r.memory.rows(f.r, p) }

func (f *alone) left() {}

func (f *alone) follows() bool { return false }
