package bucket

import (
	"slices"

	"concord/gpu"
	"concord/tensor"
)

// slot is the memory of one bucket's rows.
type slot struct {
	rows   tensor.Tensor // flat; the capacity is C
	bucket int           // whose rows it holds, or -1
	last   int           // the bucket before that, or -1 when the memory is zero
}

// acquire finds memory for bucket b's rows: a free slot, new memory while fewer
// than InFlight slots exist, the slot of the oldest pending bucket once that is
// resolved, and new memory in any case when nothing is pending: the backward
// pass then has that many buckets open at once.
func (r *Resolver) acquire(b int) *slot {
	need := r.opt.Objectives * r.store.Layout.Buckets[b].Size
	for {
		if s := r.freeSlot(need); s != nil {
			r.assign(s, b)
			return s
		}
		n := r.shortLived()
		switch {
		case r.store.Layout.Global || r.micro > 1 || r.buckets[b].held:
			return r.newSlot(b, need)
		case n < r.opt.InFlight:
			return r.newSlot(b, max(need, r.capacity(n)))
		case len(r.pending) == 0:
			return r.newSlot(b, need)
		}
		r.resolveOldest()
	}
}

// capacity is the size of slot k of those for buckets that come and go: that of
// the k-th largest such bucket, so that the slots can serve any of them and
// together take no more than the largest buckets in flight.
func (r *Resolver) capacity(k int) int {
	var sizes []int
	for b, p := range r.buckets {
		if !p.held {
			sizes = append(sizes, r.opt.Objectives*r.store.Layout.Buckets[b].Size)
		}
	}
	slices.Sort(sizes)
	if k >= len(sizes) {
		return 0
	}
	return sizes[len(sizes)-1-k]
}

// freeSlot is the smallest free slot of at least need elements, or nil.
func (r *Resolver) freeSlot(need int) *slot {
	var best *slot
	for _, s := range r.slots {
		if s.bucket < 0 && s.rows.C >= need && (best == nil || s.rows.C < best.rows.C) {
			best = s
		}
	}
	return best
}

// shortLived counts the slots that serve, or could serve, buckets that come and go.
func (r *Resolver) shortLived() int {
	n := 0
	for _, s := range r.slots {
		if s.bucket < 0 || !r.buckets[s.bucket].held {
			n++
		}
	}
	return n
}

func (r *Resolver) newSlot(b, need int) *slot {
	s := &slot{rows: r.store.Engine.New(gpu.RoleRows, "gradient rows", 1, need), bucket: b, last: -1}
	r.slots = append(r.slots, s)
	return s
}

// assign gives a free slot to bucket b. Operations write the values of a
// parameter and may leave its padding alone, so padding that was another
// bucket's data is cleared; buckets laid out alike, as a model's layers are,
// have their padding in the same place.
func (r *Resolver) assign(s *slot, b int) {
	buckets := r.store.Layout.Buckets
	if s.last >= 0 && s.last != b && buckets[b].padded() && !buckets[b].alike(buckets[s.last]) {
		r.store.Engine.Dev.Zero(gpu.View{Buf: s.rows.Buf, Size: int64(r.opt.Objectives*buckets[b].Size) * 4})
	}
	s.bucket = b
}

func (s *slot) free() { s.last, s.bucket = s.bucket, -1 }

// padded says that b has elements which belong to no value.
func (b Bucket) padded() bool {
	return slices.ContainsFunc(b.Params, func(p Place) bool { return p.Size() != p.Extent() })
}

// alike says that a and b have values and padding in the same places.
func (b Bucket) alike(a Bucket) bool {
	return slices.EqualFunc(a.Params, b.Params, func(x, y Place) bool { return x.Offset == y.Offset && x.R == y.R && x.C == y.C })
}

// RowBytes is the most memory that gradient rows take in a step of micro
// micro-batches: what acquire will have allocated when the step is over.
func (r *Resolver) RowBytes(micro int) int64 {
	if r.direct() {
		return 0
	}
	elements, passing := 0, 0
	for b, bk := range r.store.Layout.Buckets {
		if r.store.Layout.Global || r.buckets[b].held || micro > 1 {
			elements += r.opt.Objectives * bk.Size
		} else if passing < r.opt.InFlight {
			elements += r.capacity(0) // a later slot may meet the largest bucket too
			passing++
		}
	}
	return int64(elements) * 4
}
