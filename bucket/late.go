package bucket

import "concord/tensor"

// Rows of a large parameter outside the layers, an embedding or a head, would be the
// first that a step writes, before any activation is free, and are M times the
// parameter. The model can write them again at the end instead, when all activations
// are: in parts, as large as the pieces of free memory. See docs/adr/0028.

// mostParts bounds the parts of a parameter in reused memory.
const mostParts = 64

// LeastPart is the smallest range of reused memory that takes a part of a parameter's rows, of so
// many bytes together.
func LeastPart(rows int64) int64 { return rows / mostParts }

// isLate says that p's rows are written in parts at the end of a step of micro
// micro-batches.
func (r *Resolver) isLate(p Param, micro int) bool {
	return r.opt.Late != nil && micro == 1 && !r.inPlaceOnly() && r.opt.Late(p)
}

// hasLate says that a parameter of group i is late in steps in which it keeps rows.
func (r *Resolver) hasLate(i int) bool {
	for _, b := range r.store.Layout.Groups[i].Buckets {
		for _, p := range r.store.Layout.Buckets[b].Params {
			if r.isLate(p.Param, r.micro) {
				return true
			}
		}
	}
	return false
}

// Late says that the gradient of the parameter called name is to be given to TakeLate,
// in place of all its uses, when all others have been written.
func (r *Resolver) Late(name string) bool {
	p := r.store.place(name)
	return r.isLate(p.Param, r.micro) && r.groups[r.groupOf(p)].static == nil
}

// TakeLate records the gradient of a parameter that is late: write, called once, makes
// the parts of it, by the segments of seg. Errors are sticky and surface in Finish.
func (r *Resolver) TakeLate(name string, seg tensor.Segments, write func(parts []tensor.Part)) {
	p := r.store.place(name)
	r.applied.enter(r, segmentOf(p.Param))
	r.memory.written(r, p)
	var parts []tensor.Part
	for _, x := range r.memory.parts(r, p) {
		parts = append(parts, tensor.Part{Lo: x.lo, Target: tensor.Target{Rows: x.TaskGrads, Segments: seg}})
	}
	write(parts)
	r.memory.writes[name] = p.uses() - 1 // all at once
	r.groups[r.groupOf(p)].left -= p.uses() - 1
	r.done(p)
}

// rowPart is the gradients of some rows of a parameter, lo first.
type rowPart struct {
	tensor.TaskGrads
	lo int
}

// parts is the gradients of a parameter that is late.
func (m *memory) parts(r *Resolver, p Place) []rowPart {
	var out []rowPart
	for _, x := range m.plan.spots[p.Name].parts {
		v := m.viewOf(r, x.spot)
		out = append(out, rowPart{lo: x.lo, TaskGrads: tensor.TaskGrads{Buf: v.Buf, Offset: v.Offset, M: r.rows(),
			Stride: partStride(x.rows, p.LD()), R: x.rows, C: p.C, LD: p.LD()}})
	}
	return out
}

// rowParts are a parameter's gradients of this step: in one, but for a late one.
func (r *Resolver) rowParts(p Place) []rowPart {
	if r.isLate(p.Param, r.micro) {
		return r.memory.parts(r, p)
	}
	return []rowPart{{TaskGrads: r.flow.rows(p)}}
}

// inPlacePart is the part of p's one gradient that x is combined into.
func (r *Resolver) inPlacePart(p Place, x rowPart) tensor.TaskGrads {
	g := r.inPlace(p)
	g.Offset += tensor.F32.Bytes(int64(x.lo) * int64(g.LD))
	g.R = x.R
	return g
}

// partStride is Param.Extent of so many rows.
func partStride(rows, ld int) int { return (rows*ld + align - 1) / align * align }

// partBytes is the memory of so many rows of p by objective.
func (r *Resolver) partBytes(p Place, rows int) int64 {
	return tensor.F32.Bytes(int64(r.rows()) * int64(partStride(rows, p.LD())))
}

// cut places n in parts: in the largest free ranges of reused memory first, the rest in
// arenas.
func (p *planner) cut(n need) (out []part) {
	left, step := n.rows, n.partBytes(tensor.PartRows)
	fit := func(size int64) int {
		if n.partBytes(left) <= size {
			return left
		}
		return int(size/step) * tensor.PartRows
	}
	put := func(rows int, s spot) {
		out = append(out, part{spot: s, lo: n.rows - left, rows: rows})
		left -= rows
	}
	least := max(1, n.rows/mostParts/tensor.PartRows) * tensor.PartRows
	for left > 0 {
		r, i, size := p.largest()
		rows := fit(size)
		if rows == 0 || rows < least && rows < left {
			break
		}
		put(rows, p.take(r, i, n.partBytes(rows)))
	}
	for left > 0 {
		rows := max(fit(p.limit), min(left, tensor.PartRows)) // more than a buffer takes is refused by the device
		put(rows, p.allocate(n.partBytes(rows)))
	}
	return out
}

// largest is the largest free range of reused memory, of size 0 where there is none.
func (p *planner) largest() (region, at int, size int64) {
	for r := range p.plan.reused {
		for i, f := range p.free[r] {
			if n := f.end - f.start; n > size {
				region, at, size = r, i, n
			}
		}
	}
	return region, at, size
}
