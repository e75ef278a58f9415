package data

import (
	"slices"
	"sort"
	"sync"
)

// Names of mixings.
const (
	Stratified = "stratified"
	IID        = "iid"
)

// mixing says how many rows of each language the steps are made of. It may be used by
// several goroutines.
type mixing interface {
	// rowsBefore is the number of rows drawn from each language before a step; the
	// caller's to change.
	rowsBefore(step int) []int
	// expected is that number in advance: its expectation, where it is drawn.
	expected(steps int) []float64
}

// cycleRows is the least number of rows in a cycle: shares are rounded to
// multiples of its inverse.
const cycleRows = 1 << 14

// cycle is a fixed cycle of rows (smooth weighted round robin) that says which language
// each row is drawn from, so that the shares hold over any stretch of steps to within a
// row.
type cycle struct {
	before  [][]int // step of the cycle → language → rows drawn before it
	perLang []int   // rows of each language in a cycle
}

// newCycle fixes a cycle of whole steps of so many rows, divided in proportion to weights.
func newCycle(weights []float64, rows int) *cycle {
	numLangs := len(weights)
	steps := max(1, (max(cycleRows, numLangs)+rows-1)/rows)
	c := &cycle{perLang: apportion(weights, steps*rows)}
	credit, drawn := make([]int, numLangs), make([]int, numLangs)
	for i := range steps * rows {
		if i%rows == 0 {
			c.before = append(c.before, slices.Clone(drawn))
		}
		best := 0
		for m := range credit {
			credit[m] += c.perLang[m]
			if credit[m] > credit[best] {
				best = m
			}
		}
		credit[best] -= steps * rows
		drawn[best]++
	}
	return c
}

func (c *cycle) rowsBefore(step int) []int {
	cycles, at := step/len(c.before), step%len(c.before)
	n := slices.Clone(c.before[at])
	for m := range n {
		n[m] += cycles * c.perLang[m]
	}
	return n
}

func (c *cycle) expected(steps int) []float64 { return floats(c.rowsBefore(steps)) }

func floats(n []int) []float64 {
	out := make([]float64, len(n))
	for i, v := range n {
		out[i] = float64(v)
	}
	return out
}

// apportion divides total into whole parts ∝ weight, each at least one, by
// largest remainders.
func apportion(weight []float64, total int) []int {
	sum := 0.0
	for _, w := range weight {
		sum += w
	}
	parts, rest := make([]int, len(weight)), total
	order := make([]int, len(weight))
	remainder := make([]float64, len(weight))
	for m, w := range weight {
		exact := w / sum * float64(total)
		parts[m] = max(1, int(exact))
		remainder[m] = exact - float64(parts[m])
		rest -= parts[m]
		order[m] = m
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case remainder[a] > remainder[b]:
			return -1
		case remainder[a] < remainder[b]:
			return 1
		}
		return 0
	})
	for i := 0; rest > 0; i, rest = i+1, rest-1 {
		parts[order[i%len(order)]]++
	}
	for ; rest < 0; rest++ { // the floors of one took too many: from the largest
		largest := 0
		for m := range parts {
			if parts[m] > parts[largest] {
				largest = m
			}
		}
		parts[largest]--
	}
	return parts
}

// iid draws the language of every row by itself, with fixed probabilities: as a plain
// shuffled mixture does, and independent of all other rows. Row i of the run is a function
// of (seed, i); counts up to every markEvery-th step are kept.
type iid struct {
	rows int
	seed uint64
	upTo []float64 // cumulative probabilities

	mu    sync.Mutex
	marks [][]int // rows of each language before step i·markEvery
}

// markEvery is the steps between two counts that are kept.
const markEvery = 128

func newIID(weights []float64, rows int, seed uint64) *iid {
	x := &iid{rows: rows, seed: seed, upTo: make([]float64, len(weights)), marks: [][]int{make([]int, len(weights))}}
	sum := 0.0
	for m, w := range weights {
		sum += w
		x.upTo[m] = sum
	}
	for m := range x.upTo {
		x.upTo[m] /= sum
	}
	return x
}

func (x *iid) rowsBefore(step int) []int {
	x.mu.Lock()
	defer x.mu.Unlock()
	for step/markEvery >= len(x.marks) {
		last := len(x.marks) - 1
		next := slices.Clone(x.marks[last])
		x.count(next, last*markEvery, (last+1)*markEvery)
		x.marks = append(x.marks, next)
	}
	n := slices.Clone(x.marks[step/markEvery])
	x.count(n, step/markEvery*markEvery, step)
	return n
}

func (x *iid) expected(steps int) []float64 {
	out, last := make([]float64, len(x.upTo)), 0.0
	for m, p := range x.upTo {
		out[m], last = (p-last)*float64(x.rows)*float64(steps), p
	}
	return out
}

// count adds the rows of the steps [from, to) to n.
func (x *iid) count(n []int, from, to int) {
	for step := from; step < to; step++ {
		r := newRandom(x.seed, "mixing", step)
		for range x.rows {
			u := float64(r.next()>>11) / (1 << 53)
			m := sort.Search(len(x.upTo)-1, func(m int) bool { return u < x.upTo[m] })
			n[m]++
		}
	}
}
