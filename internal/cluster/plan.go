package cluster

import (
	"cmp"
	"slices"
)

// Work is what a step's batch consists of, row by row: the gradient row that a
// batch row belongs to (its language, or half-language), ascending, its language
// and its supervised tokens.
type Work struct {
	Segment, Lang, Tokens []int
	Segments, Langs       int
	// Local: every machine resolves its own languages and sends one gradient, in
	// the one segment that there is. What was counted is then told by all tokens.
	Local bool
	// Whole: a machine has one row for all of its segments, what its steps have
	// changed. It is sent once and counts for each by its part of the tokens.
	Whole bool
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
// Where there are enough, everyone has one: the pace of who has none is never
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

// paceSteps is how many measured steps a pace is fitted to.
const paceSteps = 16

// measured are the last steps of a worker.
type measured struct{ rows, seconds []float64 }

func (m *measured) add(rows int, seconds float64) {
	m.rows, m.seconds = append(m.rows, float64(rows)), append(m.seconds, seconds)
	if n := len(m.rows) - paceSteps; n > 0 {
		m.rows, m.seconds = m.rows[n:], m.seconds[n:]
	}
}

// pace fits Base + Row·rows by least squares; where the sizes do not differ, or
// the fit is nonsense, everything is put down to the rows.
func (m *measured) pace() Pace {
	n := float64(len(m.rows))
	if n == 0 {
		return Pace{}
	}
	var sr, st, srr, srt float64
	for i, r := range m.rows {
		sr, st, srr, srt = sr+r, st+m.seconds[i], srr+r*r, srt+r*m.seconds[i]
	}
	if d := n*srr - sr*sr; d > 0 {
		row := (n*srt - sr*st) / d
		if base := (st - row*sr) / n; row > 0 && base >= 0 {
			return Pace{base, row}
		}
	}
	return Pace{Row: st / sr}
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

// parts are the gradient rows that a share's machine sends, with the tokens that
// they are of: its segments, or one for all of them, which has the first's number.
func (w Work) parts(s Share) map[int]int {
	segments := w.segments(s)
	if !w.Whole || len(segments) == 0 {
		return segments
	}
	first, sum := len(w.Segment), 0
	for seg, tokens := range segments {
		first, sum = min(first, seg), sum+tokens
	}
	return map[int]int{first: sum}
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
// its units to all others. up are the bytes of a unit's row, down those of what its
// owner sends to so many others.
func Cost(w Work, shares []Share, owners []uint32, up func(unit int) int64, down func(unit, others int) int64, members []uint32) Traffic {
	t := Traffic{Up: map[uint32]int64{}}
	for _, s := range shares {
		rows := int64(len(w.parts(s)))
		for u, owner := range owners {
			if owner != s.Worker {
				t.Up[s.Worker] += rows * up(u)
				t.Rows += rows * up(u)
			}
		}
	}
	for u, owner := range owners {
		n := down(u, len(members)-1)
		t.Up[owner] += n
		t.Down += n
	}
	return t
}

// Alternatives are what a step sends under the shares that were chosen and under
// those that were not.
type Alternatives struct {
	Chosen Traffic // shares of neighbouring rows, few languages each
	Dealt  Traffic // rows dealt out one by one: every worker has nearly every language
	Plain  Traffic // one gradient per worker, as in plain data parallelism
}

// Compare computes what a step sends in the ways to divide its rows, with up and
// down as Cost has them.
func Compare(w Work, shares []Share, owners []uint32, up func(int) int64, down func(unit, others int) int64, members []uint32) Alternatives {
	one := Work{Segments: 1, Langs: 1, Segment: make([]int, len(w.Lang)), Lang: make([]int, len(w.Lang)), Tokens: w.Tokens}
	dealt := Work{Segments: w.Segments, Langs: w.Langs, Whole: w.Whole}
	for k := range len(shares) { // row k, k+W, … go to the k-th worker
		for r := k; r < len(w.Lang); r += len(shares) {
			dealt.Segment, dealt.Lang, dealt.Tokens = append(dealt.Segment, w.Segment[r]), append(dealt.Lang, w.Lang[r]), append(dealt.Tokens,
				w.Tokens[r])
		}
	}
	var even []Share
	from := 0
	for k, s := range shares {
		n := (len(w.Lang) - k + len(shares) - 1) / len(shares)
		even = append(even, Share{Worker: s.Worker, From: from, To: from + n})
		from += n
	}
	plain := func(u, others int) int64 { return up(u) * int64(others) }
	return Alternatives{Chosen: Cost(w, shares, owners, up, down, members), Dealt: Cost(dealt, even, owners, up, down, members),
		Plain: Cost(one, shares, owners, up, plain, members)}
}

// Languages is how many gradient rows each share sends.
func (w Work) Languages(shares []Share) (out []int) {
	for _, s := range shares {
		out = append(out, len(w.segments(s)))
	}
	return out
}
