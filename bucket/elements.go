package bucket

import "concord/moo"

// combineElements makes one parameter's gradient element by element. Random
// draws are keyed by the group and the element's place in it, so that they depend
// neither on the layout's memory nor on the device.
func (r *Resolver) combineElements(p Place, x Elementwise) {
	e := r.store.Engine
	out, rows := r.inPlace(p).Objective(0), r.flow.rows(p)
	if len(x.Used) == 0 {
		e.Dev.Zero(out.View())
		return
	}
	switch x.Rule.Kind {
	case moo.GradDrop:
		e.GradDrop(out, rows, x.Used, float32(x.Rule.Leak), x.Key, r.elementBase(p))
	case moo.TrimmedMean:
		e.TrimmedMean(out, rows, x.Used, x.Rule.Trim)
	}
}

// elementBase is the number of elements, without padding, before p in its group.
func (r *Resolver) elementBase(p Place) uint32 {
	base := 0
	for _, b := range r.store.Layout.Groups[r.groupOf(p)].Buckets {
		for _, q := range r.store.Layout.Buckets[b].Params {
			if q.Name == p.Name {
				return uint32(base)
			}
			base += q.Size()
		}
	}
	return uint32(base)
}
