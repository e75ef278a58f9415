package protocol

import (
	"cmp"
	"slices"
)

// Candidate is a worker that may be given rows.
type Candidate struct {
	Worker uint32
	Pace   Pace
}

// Pace is how long a worker computes: Base + Row·rows seconds. Row 0: not known.
type Pace struct{ Base, Row float64 }

// Seconds is the time for so many rows.
func (p Pace) Seconds(rows int) float64 { return p.Base + p.Row*float64(rows) }

// snapSlack is how much longer than proportional a worker's share may become so
// that a language need not be split: a language more costs it a whole gradient
// on the wire.
const snapSlack = 0.15

// keepSlack is how much longer the last shares may take than new ones would
// before shares change: another size of share means other buffers on the device.
const keepSlack = 0.1

// Assign cuts the batch's rows, which are sorted by language, into one contiguous
// share per candidate, such that all take the same time. Contiguous shares split
// at most W−1 languages, so that W workers send M+W−1 rows at most, near the W of
// plain data parallelism; a cut moves to the next border between languages where
// that costs neither neighbour more than snapSlack of its share. last are the
// sizes of the last shares by worker, which are kept while they are nearly as
// good. The result is a pure function of its arguments.
func Assign(w Work, candidates []Candidate, last map[uint32]int) []Share {
	c := slices.Clone(candidates)
	slices.SortFunc(c, func(a, b Candidate) int { return cmp.Compare(a.Worker, b.Worker) })
	if len(c) == 0 {
		return nil
	}
	rows := len(w.Lang)
	sizes := balance(paces(c), rows)
	if kept := keep(c, last, rows); kept != nil && slowest(c, kept) <= (1+keepSlack)*slowest(c, sizes) {
		sizes = kept
	}
	out, from := make([]Share, len(c)), 0
	for i := range c {
		to := rows
		if i < len(c)-1 {
			to = min(from+sizes[i], rows)
			if at := snap(w.Lang, to, snapSlack*float64(min(sizes[i], sizes[i+1]))); at > from && rows-at >= len(c)-1-i {
				to = at
			}
		}
		out[i] = Share{Worker: c[i].Worker, From: from, To: to}
		from = to
	}
	return out
}

// keep is the last shares' sizes where the same workers have the same rows.
func keep(c []Candidate, last map[uint32]int, rows int) []int {
	sum, out := 0, make([]int, len(c))
	for i, x := range c {
		n, ok := last[x.Worker]
		if !ok || n == 0 {
			return nil
		}
		out[i], sum = n, sum+n
	}
	if len(last) != len(c) || sum != rows {
		return nil
	}
	return out
}

// slowest is the time of the worker that takes longest.
func slowest(c []Candidate, sizes []int) float64 {
	p, most := paces(c), 0.0
	for i, n := range sizes {
		most = max(most, p[i].Seconds(n))
	}
	return most
}

// paces gives workers of unknown pace the mean of the others.
func paces(c []Candidate) []Pace {
	var mean Pace
	n := 0.0
	for _, x := range c {
		if x.Pace.Row > 0 {
			mean.Base, mean.Row, n = mean.Base+x.Pace.Base, mean.Row+x.Pace.Row, n+1
		}
	}
	if n == 0 {
		mean, n = Pace{Row: 1}, 1
	}
	out := make([]Pace, len(c))
	for i, x := range c {
		if out[i] = x.Pace; x.Pace.Row == 0 {
			out[i] = Pace{mean.Base / n, mean.Row / n}
		}
	}
	return out
}

// balance gives one row after another to the worker that is done first with it.
// Where there are enough, everyone has one: the pace of a worker without rows is never
// measured again.
func balance(p []Pace, rows int) []int {
	out := make([]int, len(p))
	if rows >= len(p) {
		for i := range out {
			out[i]++
		}
		rows -= len(p)
	}
	for range rows {
		best := 0
		for i := range p {
			if p[i].Seconds(out[i]+1) < p[best].Seconds(out[best]+1) {
				best = i
			}
		}
		out[best]++
	}
	return out
}

// snap moves a cut to the nearest border between languages within slack rows.
func snap(lang []int, cut int, slack float64) int {
	for d := 0; float64(d) <= slack; d++ {
		for _, at := range []int{cut - d, cut + d} {
			if at > 0 && at < len(lang) && lang[at] != lang[at-1] {
				return at
			}
		}
	}
	return cut
}
