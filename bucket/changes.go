package bucket

import (
	"math"

	"concord/bucket/exchange"
)

// ResolveChanges resolves, instead of gradients, the changes that many steps of each machine
// have changed (pseudo-gradients, as in DiLoCo: Douillard et al., 2311.08105). The
// caller has pushed, or will from other goroutines, a row for each language of a
// machine. A method decides the direction only: the resolved change is as long as
// the mean of the languages', since no optimizer after it makes up for methods
// whose weights do not sum to one.
func (r *Resolver) ResolveChanges(x exchange.Exchange) (Report, error) {
	if err := r.shareable(); err != nil {
		return Report{}, err
	}
	r.share(r.store.Layout.WholeGroups()) // its length is that of the whole
	length := 0.0
	r.begin(1, &owners{r: r, x: x,
		before: func(e exchange.Event) { length = meanLength(e.Rows, r.shared.slices[e.Slice].Size()) },
		after:  func(gradient []float32) { scaleTo(gradient, length) }})
	return r.finish()
}

// meanLength is the length of the mean of the rows that are there, finite and not
// zero.
func meanLength(rows [][]float32, size int) float64 {
	mean, n := make([]float64, size), 0
	for _, x := range rows {
		sum := 0.0
		for _, v := range x {
			sum += float64(v) * float64(v)
		}
		if !finite(sum) || sum == 0 {
			continue
		}
		n++
		for i, v := range x {
			mean[i] += float64(v)
		}
	}
	sum := 0.0
	for _, v := range mean {
		sum += v * v
	}
	return math.Sqrt(sum) / float64(max(1, n))
}

// scaleTo makes x so long, unless it is zero.
func scaleTo(x []float32, length float64) {
	sum := 0.0
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	if sum == 0 || !finite(sum) {
		return
	}
	f := length / math.Sqrt(sum)
	for i, v := range x {
		x[i] = float32(f * float64(v))
	}
}
