package protocol

// Traffic is the size of all that a step sends, in bytes.
type Traffic struct {
	Up   map[uint32]int64 // by worker: rows to owners and resolved buckets to everyone
	Rows int64            // all rows to owners
	Down int64            // all resolved buckets
}

// Total is all of it.
func (t Traffic) Total() int64 { return t.Rows + t.Down }

// Most is the busiest worker's part.
func (t Traffic) Most() int64 {
	var most int64
	for _, n := range t.Up {
		most = max(most, n)
	}
	return most
}

// Cost computes the traffic of a step under shares and owners: every worker one row
// per language (segment) that it has tokens of to each group's owner, each owner
// its groups to all others. up are the bytes of a group's row, down those that its
// owner sends to so many others.
func Cost(w Work, shares []Share, owners []uint32, up func(group int) int64, down func(group, others int) int64, members []uint32) Traffic {
	t := Traffic{Up: map[uint32]int64{}}
	for _, s := range shares {
		rows := int64(len(w.PartTokens(s)))
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

// Alternatives are the traffic of a step under the shares that were chosen and under
// those that were not.
type Alternatives struct {
	Chosen Traffic // shares of neighbouring rows, few languages each
	Dealt  Traffic // rows dealt out one by one: every worker has nearly every language
	Plain  Traffic // one gradient per worker, as in plain data parallelism
}

// Compare computes the traffic of a step in the ways to divide its rows, with up and
// down as Cost has them.
func Compare(w Work, shares []Share, owners []uint32, up func(group int) int64, down func(group, others int) int64,
	members []uint32) Alternatives {
	one := Work{Segments: 1, Langs: 1, Segment: make([]int, len(w.Lang)), Lang: make([]int, len(w.Lang)), Tokens: w.Tokens}
	dealt := Work{Segments: w.Segments, Langs: w.Langs, Whole: w.Whole}
	for k := range len(shares) { // row k, k+W, … go to the k-th worker
		for r := k; r < len(w.Lang); r += len(shares) {
			dealt.Segment = append(dealt.Segment, w.Segment[r])
			dealt.Lang = append(dealt.Lang, w.Lang[r])
			dealt.Tokens = append(dealt.Tokens, w.Tokens[r])
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
