package bucket

import (
	"iter"

	"concord/gpu"
	"concord/tensor"
)

// Slice is the part of a resolve group that one machine owns of many: the elements [From, To) of
// the group's values. Groups in more slices than one are resolved by their owners together: the
// Gram is the sum of the slices'.
type Slice struct{ Group, From, To int }

// Size is its number of elements.
func (s Slice) Size() int { return s.To - s.From }

// sliceAlign is the multiple of elements at which a group is cut: parts of parameters can be bound,
// and int8's blocks of values are those of the whole group.
const sliceAlign = 256

// The automatic size of a slice in elements: a part of the model, so that the owners' shares can
// be made equal, but enough that few transfers at a time fill a link.
const (
	slicesOfModel = 256
	sliceLeast    = 128 << 10
)

// Slices cuts the groups that may be cut into slices of equal size and at most so many elements
// (0: chosen by the model's size), in the order of the groups. It depends on nothing else, so that
// a step's bits do not depend on the slices' owners.
func (l Layout) Slices(most int, may func(group int) bool) (out []Slice) {
	if most == 0 {
		total := 0
		for _, u := range l.Groups {
			total += u.Size
		}
		most = max(sliceLeast, total/slicesOfModel)
	}
	most = max(most, sliceAlign)
	for i, u := range l.Groups {
		n := 1
		if may(i) {
			n = (u.Size + most - 1) / most
		}
		each := ((u.Size+n-1)/n + sliceAlign - 1) / sliceAlign * sliceAlign
		for from := 0; from < u.Size; from += each {
			out = append(out, Slice{Group: i, From: from, To: min(from+each, u.Size)})
		}
	}
	return out
}

// WholeGroups is every group in one slice.
func (l Layout) WholeGroups() []Slice { return l.Slices(0, func(int) bool { return false }) }

// slicePart is the part of a parameter in a slice: its elements [lo, hi), padding included, of
// which those from n on are only that; they stand at element at of the slice.
type slicePart struct {
	Place
	lo, hi, n, at int
}

// partsOf are the parts of parameters in a slice.
func (l Layout) partsOf(s Slice) iter.Seq[slicePart] {
	return func(yield func(slicePart) bool) {
		for p, at := range l.PlacesOf(s.Group) {
			lo, hi := max(s.From, at), min(s.To, at+p.Extent())
			if lo >= hi {
				continue
			}
			n := max(0, min(hi-at, p.R*p.LD())-(lo-at))
			if !yield(slicePart{p, lo - at, hi - at, n, lo - s.From}) {
				return
			}
		}
	}
}

// shared is the state of a step on many machines, of any flow: how far each group's gradient
// has come.
type shared struct {
	slices []Slice
	first  []int // by group, its first slice; and the number of all
	norm2  []float64
	groups []arriving
}

// arriving is a group's gradient on its way.
type arriving struct {
	epoch  uint32
	left   int
	values []float32 // where it is taken as a whole
	here   []bool    // by slice of the group
}

// share starts a step on many machines, which own slices.
func (r *Resolver) share(all []Slice) {
	r.shared = shared{slices: all, norm2: make([]float64, len(all)), groups: make([]arriving, len(r.groups))}
	for i, s := range all {
		if i == 0 || all[i-1].Group != s.Group {
			r.shared.first = append(r.shared.first, i)
		}
	}
	r.shared.first = append(r.shared.first, len(all))
}

// sliced says that group i has several slices.
func (s *shared) sliced(i int) bool { return s.first[i+1]-s.first[i] > 1 }

// leads says that the slice is its group's first.
func (s *shared) leads(slice int) bool { return s.first[s.slices[slice].Group] == slice }

// cut gives the rows of group i slice by slice.
func (s *shared) cut(i int, rows [][]float32) iter.Seq2[int, [][]float32] {
	return func(yield func(int, [][]float32) bool) {
		for k := s.first[i]; k < s.first[i+1]; k++ {
			out := make([][]float32, len(rows))
			for m, x := range rows {
				out[m] = x[s.slices[k].From:s.slices[k].To:s.slices[k].To]
			}
			if !yield(k, out) {
				return
			}
		}
	}
}

// takeSlice makes x the gradient of a slice, whose r.shared.norm2 is known; nil where the
// owner updates the weights itself. Where gradients are applied as they come the group's is, when
// all of it is there.
func (r *Resolver) takeSlice(slice int, epoch uint32, x []float32) error {
	s, i := &r.shared, r.shared.slices[slice].Group
	g := &s.groups[i]
	if n := s.first[i+1] - s.first[i]; g.here == nil || g.epoch != epoch {
		*g = arriving{epoch: epoch, left: n, here: make([]bool, n)}
	}
	if k := slice - s.first[i]; !g.here[k] {
		g.here[k] = true
		g.left--
	}
	switch {
	case x == nil:
	case !r.applies():
		r.setGradient(s.slices[slice], x)
	case !s.sliced(i):
		g.values = x
	default:
		if g.values == nil {
			g.values = make([]float32, r.store.Layout.Groups[i].Size)
		}
		copy(g.values[s.slices[slice].From:], x)
	}
	if g.left > 0 {
		return nil
	}
	r.reports[i].Norm2, r.reports[i].normed = total(s.norm2[s.first[i]:s.first[i+1]]), true
	values := g.values
	if g.values = nil; values == nil {
		return nil
	}
	return r.applyWhole(i, values)
}

// setGradient writes a slice's gradient to the store.
func (r *Resolver) setGradient(s Slice, x []float32) {
	base := 0
	for _, b := range r.store.Layout.Groups[s.Group].Buckets {
		size := r.store.Layout.Buckets[b].Size
		if lo, hi := max(s.From, base), min(s.To, base+size); lo < hi {
			t := r.store.Flat(Gradient, b)
			to := gpu.View{Buf: t.Buf, Offset: t.Offset + tensor.F32.Bytes(int64(lo-base)), Size: tensor.F32.Bytes(int64(hi - lo))}
			r.store.Engine.Dev.Write(to, bytesOf(x[lo-s.From:hi-s.From]))
		}
		base += size
	}
}
