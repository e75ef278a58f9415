package cluster

import (
	"cmp"
	"math"
	"slices"
)

// Work is what a step's batch consists of, row by row: the gradient row that a
// batch row belongs to (its language, or half-language), ascending, its language
// and its supervised tokens.
type Work struct {
	Segment, Lang, Tokens []int
	Segments, Langs       int
}

// Share is the rows [From, To) of a step's batch that a worker computes.
type Share struct {
	Worker   uint32 `json:"worker"`
	From, To int
}

// Size is how many rows it is.
func (s Share) Size() int { return s.To - s.From }

// Candidate is a worker that may be given rows.
type Candidate struct {
	Worker uint32
	Speed  float64 // batch tokens per second; 0: not known yet
}

// snapSlack is how much longer than proportional a worker's share may become so
// that a language need not be split: a language more costs it a whole gradient
// on the wire.
const snapSlack = 0.15

// Assign cuts the batch's rows, which are sorted by language, into one contiguous
// share per candidate, in proportion to speed. Contiguous shares split at most
// W−1 languages, so that W workers send M+W−1 rows at most, near the W of plain
// data parallelism; a cut moves to the next border between languages where that
// costs neither neighbour more than snapSlack of its share. The result is a pure
// function of its arguments.
func Assign(w Work, candidates []Candidate) []Share {
	c := slices.Clone(candidates)
	slices.SortFunc(c, func(a, b Candidate) int { return cmp.Compare(a.Worker, b.Worker) })
	if len(c) == 0 {
		return nil
	}
	rows, speeds := len(w.Lang), speedsOf(c)
	total := 0.0
	for _, s := range speeds {
		total += s
	}
	out := make([]Share, len(c))
	from, done := 0, 0.0
	for i := range c {
		done += speeds[i]
		to := int(math.Round(done / total * float64(rows)))
		if i < len(c)-1 {
			if len(c) <= rows { // nobody gets nothing: the speed of who has no rows is never measured again
				to = min(max(to, from+1), rows-(len(c)-1-i))
			}
			exact := speeds[i] / total * float64(rows)
			next := speeds[i+1] / total * float64(rows)
			if at := snap(w.Lang, max(from, to), snapSlack*min(exact, next)); at > from && rows-at >= len(c)-1-i {
				to = at
			}
		} else {
			to = rows
		}
		out[i] = Share{Worker: c[i].Worker, From: from, To: max(from, to)}
		from = out[i].To
	}
	return out
}

// speedsOf gives workers of unknown speed the mean of the others.
func speedsOf(c []Candidate) []float64 {
	sum, n := 0.0, 0
	for _, x := range c {
		if x.Speed > 0 {
			sum, n = sum+x.Speed, n+1
		}
	}
	out := make([]float64, len(c))
	for i, x := range c {
		switch {
		case x.Speed > 0:
			out[i] = x.Speed
		case n > 0:
			out[i] = sum / float64(n)
		default:
			out[i] = 1
		}
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

// segments are the gradient rows that a share has tokens of, with their tokens.
func (w Work) segments(s Share) map[int]int {
	out := map[int]int{}
	for r := s.From; r < s.To; r++ {
		if w.Tokens[r] > 0 {
			out[w.Segment[r]] += w.Tokens[r]
		}
	}
	return out
}

// langTokens are the supervised tokens by language.
func (w Work) langTokens() []int {
	out := make([]int, w.Langs)
	for r, n := range w.Tokens {
		out[w.Lang[r]] += n
	}
	return out
}

// Owners gives every unit an owner: the largest units first, each to the worker
// with the least so far. Workers must not be empty; the result is a pure function
// of its arguments.
func Owners(sizes []int, workers []uint32) []uint32 {
	w := slices.Sorted(slices.Values(workers))
	order := make([]int, len(sizes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(sizes[b], sizes[a]) })
	load := make([]int, len(w))
	out := make([]uint32, len(sizes))
	for _, u := range order {
		least := 0
		for i := range load {
			if load[i] < load[least] {
				least = i
			}
		}
		load[least] += sizes[u]
		out[u] = w[least]
	}
	return out
}

// Traffic is what a step sends, in bytes.
type Traffic struct {
	Up   map[uint32]int64 // by worker: rows to owners and resolved buckets to everyone
	Rows int64            // all rows to owners
	Down int64            // all resolved buckets
}

// Total is all of it.
func (t Traffic) Total() int64 { return t.Rows + t.Down }

// Most is what the busiest worker sends.
func (t Traffic) Most() int64 {
	var most int64
	for _, n := range t.Up {
		most = max(most, n)
	}
	return most
}

// Cost computes what a step sends under shares and owners: every worker one row
// per language (segment) that it has tokens of to each unit's owner, each owner
// its units to all others. bytes are a unit's, up and down.
func Cost(w Work, shares []Share, owners []uint32, up, down func(unit int) int64, members []uint32) Traffic {
	t := Traffic{Up: map[uint32]int64{}}
	for _, s := range shares {
		rows := int64(len(w.segments(s)))
		for u, owner := range owners {
			if owner != s.Worker {
				t.Up[s.Worker] += rows * up(u)
				t.Rows += rows * up(u)
			}
		}
	}
	for u, owner := range owners {
		n := down(u) * int64(len(members)-1)
		t.Up[owner] += n
		t.Down += n
	}
	return t
}
