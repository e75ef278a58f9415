package bucket

import (
	"fmt"
	"slices"
)

// A step asks for memory for the objectives' gradients in the same order every
// time, so where each parameter's share lies is planned once. Activation
// memory that the backward pass is done with is reused first,
// and the rest goes to arenas of our own, as small as the order
// of taking and giving back allows.

// spot is the memory of one parameter's gradients by objective, or of
// their stand-in.
type spot struct {
	region int // index in memoryPlan.reused, or after them in memoryPlan.own
	offset int64
	bytes  int64
	// resolve is how many of the oldest pending groups must be resolved before
	// this memory is written.
	resolve int
	parts   []part // of a parameter whose rows are cut, or that has several pieces
}

// part is memory of some rows of a parameter, by objective.
type part struct {
	spot
	lo, rows int
}

// all is s's memory.
func (s spot) all() []spot {
	if s.parts == nil {
		return []spot{s}
	}
	var out []spot
	for _, p := range s.parts {
		out = append(out, p.spot)
	}
	return out
}

// memoryPlan places every parameter of a step.
type memoryPlan struct {
	reused []reused
	own    []int64 // sizes of the arenas
	spots  map[string]spot
	first  []string // parameters in the order of their first write
}

// reused is memory that is free from the first write of a parameter on.
type reused struct {
	from  string
	index int // in Options.Reuse[from]
	size  int64
}

// need describes a parameter to the planner.
type need struct {
	name  string
	group int
	bytes int64
	uses  int
	// rows may be placed in parts, of partBytes(rows) each, when all else is written;
	// 0: in one place.
	rows      int
	partBytes func(rows int) int64
	turn      bool // one part of rows exists at a time
	pieces    int  // so many places of bytes each; 0: one
	// segment is the part of the backward pass that writes it: a group that is complete
	// keeps its memory until another part begins. "": not beyond the write.
	segment string
}

// planner simulates a step's life of groups.
type planner struct {
	plan     memoryPlan
	free     [][]span // per region
	limit    int64    // of an arena
	inFlight int
	keep     bool           // nothing is given back before the end of the step
	left     map[int]int    // writes to come by group
	held     map[int]bool   // open over the whole backward pass
	open     map[int]bool   // groups with memory
	pending  []int          // complete groups, oldest first
	owned    map[int][]spot // memory by group
	ended    map[int]string // segment in which a group was complete
}

// span is a range of bytes.
type span struct{ start, end int64 }

// planMemory places needs, which are given in the order of their last write;
// parameters with several uses are written first of all. reusable is the
// activation memory by parameter. limit bounds an arena, 0 = none.
func planMemory(needs []need, reusable map[string][]int64, inFlight int, keep bool, limit int64) memoryPlan {
	p := &planner{limit: limit, inFlight: inFlight, keep: keep,
		left: map[int]int{}, held: map[int]bool{}, open: map[int]bool{}, owned: map[int][]spot{}, ended: map[int]string{}}
	p.plan.spots = map[string]spot{}
	if limit <= 0 {
		p.limit = 1 << 62
	}
	for _, n := range needs {
		p.left[n.group]++
		p.held[n.group] = p.held[n.group] || n.uses > 1
	}
	for _, n := range needs { // their sizes are known before anything is reused, so regions of reused memory come first
		p.offer(n.name, reusable[n.name])
	}
	for _, n := range needs {
		if n.uses > 1 {
			p.place(n)
		}
	}
	for _, n := range needs {
		if n.uses <= 1 {
			p.place(n)
		}
		if p.left[n.group]--; p.left[n.group] == 0 {
			p.pending = append(p.pending, n.group)
			p.ended[n.group] = n.segment
		}
	}
	return p.plan
}

// offer registers regions that place opens when it comes to name.
func (p *planner) offer(name string, sizes []int64) {
	for i, size := range sizes {
		p.plan.reused = append(p.plan.reused, reused{from: name, index: i, size: size})
		p.free = append(p.free, nil)
	}
}

// place finds memory for n.
func (p *planner) place(n need) {
	for i, l := range p.plan.reused {
		if l.from == n.name {
			p.free[i] = []span{{0, l.size}}
		}
	}
	p.plan.first = append(p.plan.first, n.name)
	resolve := 0
	if !p.open[n.group] {
		p.open[n.group] = true
		for !p.held[n.group] && !p.keep && len(p.pending) > 0 && p.live() > p.inFlight && p.leaves(n, p.pending[0]) {
			p.giveBack(p.pending[0])
			p.pending = p.pending[1:]
			resolve++
		}
	}
	s := spot{}
	switch {
	case n.turn:
		s.parts = []part{p.turn(n)}
	case n.rows > 0:
		s.parts = p.cut(n)
	case n.pieces > 0:
		for range n.pieces {
			s.parts = append(s.parts, part{spot: p.allocate(n.bytes)})
		}
	case n.bytes > 0:
		s = p.allocate(n.bytes)
	}
	s.resolve = resolve
	p.plan.spots[n.name] = s
	p.owned[n.group] = append(p.owned[n.group], s)
	for _, x := range s.parts {
		p.owned[n.group] = append(p.owned[n.group], x.spot)
	}
}

// leaves says that n's segment is another than that in which group u was complete.
func (p *planner) leaves(n need, u int) bool { return n.segment == "" || n.segment != p.ended[u] }

// live counts the groups that hold memory and come and go.
func (p *planner) live() int {
	n := 0
	for u := range p.open {
		if !p.held[u] {
			n++
		}
	}
	return n
}

// allocate takes the tightest free range of reused memory, else the lowest one
// that fits in an arena, which may grow.
func (p *planner) allocate(bytes int64) spot {
	best, at := -1, 0
	for r := range p.plan.reused {
		for i, f := range p.free[r] {
			if f.end-f.start >= bytes && (best < 0 || f.end-f.start < p.free[best][at].end-p.free[best][at].start) {
				best, at = r, i
			}
		}
	}
	if best >= 0 {
		return p.take(best, at, bytes)
	}
	for k := range p.plan.own {
		r := len(p.plan.reused) + k
		if i := slices.IndexFunc(p.free[r], func(f span) bool { return f.end-f.start >= bytes }); i >= 0 {
			return p.take(r, i, bytes)
		}
		if i, ok := p.grow(k, bytes); ok {
			return p.take(r, i, bytes)
		}
	}
	p.plan.own = append(p.plan.own, bytes)
	p.free = append(p.free, []span{{0, bytes}})
	return p.take(len(p.free)-1, 0, bytes)
}

// grow enlarges arena k so that bytes fit at its end, within the limit.
func (p *planner) grow(k int, bytes int64) (at int, ok bool) {
	r, size := len(p.plan.reused)+k, p.plan.own[k]
	start := size
	if n := len(p.free[r]); n > 0 && p.free[r][n-1].end == size {
		start = p.free[r][n-1].start
	}
	if start+bytes > p.limit {
		return 0, false
	}
	p.plan.own[k] = start + bytes
	if start < size {
		p.free[r][len(p.free[r])-1].end = start + bytes
	} else {
		p.free[r] = append(p.free[r], span{start, start + bytes})
	}
	return len(p.free[r]) - 1, true
}

// take cuts bytes off the front of free range i of region r.
func (p *planner) take(r, i int, bytes int64) spot {
	f := &p.free[r][i]
	s := spot{region: r, offset: f.start, bytes: bytes}
	if f.start += bytes; f.start == f.end {
		p.free[r] = slices.Delete(p.free[r], i, i+1)
	}
	return s
}

// giveBack frees the memory of group u.
func (p *planner) giveBack(u int) {
	delete(p.open, u)
	for _, s := range p.owned[u] {
		if s.bytes == 0 {
			continue
		}
		r := append(p.free[s.region], span{s.offset, s.offset + s.bytes})
		slices.SortFunc(r, func(a, b span) int { return int(min(max(a.start-b.start, -1), 1)) })
		merged := r[:1]
		for _, f := range r[1:] {
			if last := &merged[len(merged)-1]; last.end == f.start {
				last.end = f.end
			} else {
				merged = append(merged, f)
			}
		}
		p.free[s.region] = merged
	}
	delete(p.owned, u)
}

// bytes is the size of the arenas together.
func (m memoryPlan) bytes() int64 {
	var sum int64
	for _, b := range m.own {
		sum += b
	}
	return sum
}

// check is for the resolver: the backward pass must ask in the planned order.
func (m memoryPlan) check(k int, name string) {
	if k >= len(m.first) || m.first[k] != name {
		panic(fmt.Sprintf("bucket: the gradient of %s is asked for out of order: the layout has %v", name, m.first))
	}
}
