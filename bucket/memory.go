package bucket

import (
	"concord/gpu"
	"concord/tensor"
)

// memory is where the rows of the current step lie, by a plan made once per
// number of micro-batches.
type memory struct {
	plan   memoryPlan
	micro  int // that plan is for; 0 = none yet
	arenas []*gpu.Buffer
	asked  int            // parameters that were asked for in this step
	writes map[string]int // by parameter, in this step
}

// plan places the rows of a step of micro micro-batches.
func (m *memory) planFor(r *Resolver, micro int) memoryPlan {
	if r.inPlaceOnly() {
		return memoryPlan{}
	}
	if m.micro == micro {
		return m.plan
	}
	needs := r.needs(micro)
	keep := r.store.Layout.Global || micro > 1
	reusable := map[string][]int64{}
	if micro == 1 {
		for name, views := range r.opt.Reuse {
			for _, v := range views {
				reusable[name] = append(reusable[name], v.Size/256*256)
			}
		}
	}
	return planMemory(needs, reusable, r.opt.InFlight, keep, r.store.Engine.Dev.Info().Limits.MaxBufferSize)
}

// needs lists the parameters in the order of their last write. Where gradients are
// applied as they come a group keeps its memory until the backward pass has left its part.
func (r *Resolver) needs(micro int) []need {
	var needs, late []need
	for _, name := range r.store.Layout.order {
		p := r.store.place(name)
		n := need{name: name, group: r.groupOf(p), uses: p.uses()}
		if r.applies() {
			n.segment = segmentOf(p.Param)
		}
		if r.isLate(p.Param, micro) {
			n.uses = 1
			n.turn = r.isTokens(p.Param, micro) && r.inTurn(p.Param)
			if r.isTokens(p.Param, micro) && !n.turn {
				n.pieces, n.bytes = tensor.VocabularySquares, align256(tensor.VocabularySquare(r.opt.Tokens))
			} else {
				n.rows, n.partBytes = p.R, func(rows int) int64 { return r.partBytes(p, rows) }
			}
			late = append(late, n)
			continue
		}
		n.bytes = r.spotBytes(p)
		needs = append(needs, n)
	}
	return append(needs, late...)
}

// spotBytes is the memory that a parameter's share takes: a row per objective, or its
// activations, or nothing where they are static.
func (r *Resolver) spotBytes(p Place) int64 {
	switch {
	case r.isGhost(p.Param):
		return r.ghostBytes(p.Param)
	case p.Single:
		return 0
	}
	return tensor.F32.Bytes(int64(r.rows()) * int64(p.Extent()))
}

// missing is the memory that the arenas of a step of micro micro-batches take beyond those
// that there are.
func (m *memory) missing(r *Resolver, micro int) int64 {
	plan := m.planFor(r, micro)
	var have int64
	for _, a := range m.arenas {
		have += a.Size()
	}
	return max(0, plan.bytes()-have)
}

// begin prepares the memory of a step.
func (m *memory) begin(r *Resolver) {
	m.asked, m.writes = 0, map[string]int{}
	if r.inPlaceOnly() || m.micro == r.micro {
		return
	}
	plan := m.planFor(r, r.micro)
	m.release()
	m.plan, m.micro = plan, r.micro
	for _, size := range plan.own {
		m.arenas = append(m.arenas, r.store.Engine.Dev.NewBuffer(gpu.RoleRows, "gradient rows", size))
	}
}

// written says that p has been written in this step, and on the first time
// makes its memory ready.
func (m *memory) written(r *Resolver, p Place) bool {
	n := m.writes[p.Name]
	if n >= p.uses()*r.micro {
		panic("bucket: " + p.Name + " is written more often than it has uses and micro-batches")
	}
	if n == 0 && !r.inPlaceOnly() {
		m.open(r, p)
	}
	if n == 0 && r.applied.slots != nil {
		r.applied.clear(r, p)
	}
	return n > 0
}

// open waits for the group that used p's memory before, and clears the padding that
// operations leave alone.
func (m *memory) open(r *Resolver, p Place) {
	if r.isLate(p.Param, r.micro) && !r.Late(p.Name) {
		return // of static weights: it has no rows, and no place in the order
	}
	for m.asked < len(m.plan.first) && r.placeless(m.plan.first[m.asked]) {
		m.makeRoom(r, m.plan.first[m.asked])
	}
	m.plan.check(m.asked, p.Name)
	m.makeRoom(r, p.Name)
	rowsKept := !r.isGhost(p.Param) && !r.isTokens(p.Param, r.micro) && r.groups[r.groupOf(p)].static == nil
	if rowsKept && p.C != p.LD() && r.store.Engine.Dev.Err() == nil {
		for _, s := range m.plan.spots[p.Name].all() {
			r.store.Engine.Dev.Zero(m.viewOf(r, s))
		}
	}
}

// makeRoom resolves the groups that the plan wants resolved before the parameter called name has
// memory.
func (m *memory) makeRoom(r *Resolver, name string) {
	m.asked++
	for range m.plan.spots[name].resolve {
		r.flow.makeRoom()
	}
}

// placeless says that the parameter called name is late, but not in this step.
func (r *Resolver) placeless(name string) bool {
	return r.isLate(r.store.place(name).Param, r.micro) && !r.Late(name)
}

// view is p's memory, in one place.
func (m *memory) view(r *Resolver, p Place) gpu.View {
	s := m.plan.spots[p.Name]
	if s.parts != nil {
		panic("bucket: the rows of " + p.Name + " lie in parts")
	}
	return m.viewOf(r, s)
}

func (m *memory) viewOf(r *Resolver, s spot) gpu.View {
	if s.region < len(m.plan.reused) {
		l := m.plan.reused[s.region]
		v := r.opt.Reuse[l.from][l.index]
		return gpu.View{Buf: v.Buf, Offset: v.Offset + s.offset, Size: s.bytes}
	}
	return gpu.View{Buf: m.arenas[s.region-len(m.plan.reused)], Offset: s.offset, Size: s.bytes}
}

// rows is p's gradients, one matrix per row.
func (m *memory) rows(r *Resolver, p Place) tensor.TaskGrads {
	v := m.view(r, p)
	return tensor.TaskGrads{Buf: v.Buf, Offset: v.Offset, M: r.rows(), Stride: p.Extent(), R: p.R, C: p.C, LD: p.LD()}
}

// release frees the arenas.
func (m *memory) release() {
	for _, a := range m.arenas {
		a.Release()
	}
	m.arenas, m.micro, m.plan = nil, 0, memoryPlan{}
}
