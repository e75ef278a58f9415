package protocol

import (
	"slices"

	"concord/transport"
)

// Traffic is the size of all that a step sends, in bytes: rows and resolved buckets, without
// their metadata and the headers of packets.
type Traffic struct {
	Sent     map[uint32]int64 // by worker
	Received map[uint32]int64 // by worker
	Rows     int64            // all rows to owners
	Resolved int64            // all resolved buckets to everyone
}

// Total is all of it.
func (t Traffic) Total() int64 { return t.Rows + t.Resolved }

// Most is the busiest sender's part.
func (t Traffic) Most() int64 {
	var most int64
	for _, n := range t.Sent {
		most = max(most, n)
	}
	return most
}

func (t *Traffic) add(from, to uint32, n int64) {
	t.Sent[from] += n
	t.Received[to] += n
}

// Sizes are the bytes of a group on the wire.
type Sizes struct {
	Row      func(group int) int64            // of a row to its owner
	Resolved func(group int, to uint32) int64 // from its owner to a member
}

// SizesOf are the sizes of groups of so many elements. With parameters owners send weights, and the
// gradient to the group's backup alone.
func SizesOf(groups []int, codec transport.Codec, parameters bool, backups []uint32) Sizes {
	row := func(group int) int64 { return int64(codec.Size(groups[group])) }
	return Sizes{Row: row, Resolved: func(group int, to uint32) int64 {
		switch {
		case !parameters:
			return row(group)
		case to == backups[group]:
			return int64(transport.F32.Size(groups[group])) + row(group)
		}
		return int64(transport.F32.Size(groups[group]))
	}}
}

// Cost computes the traffic of a step under shares and owners: every worker one row
// per language (segment) that it has tokens of to each group's owner, each owner
// its groups to all other members.
func Cost(w Work, shares []Share, owners []uint32, size Sizes, members []uint32) Traffic {
	t := Traffic{Sent: map[uint32]int64{}, Received: map[uint32]int64{}}
	for _, s := range shares {
		rows := int64(len(w.PartTokens(s)))
		for u, owner := range owners {
			if owner != s.Worker {
				n := rows * size.Row(u)
				t.add(s.Worker, owner, n)
				t.Rows += n
			}
		}
	}
	for u, owner := range owners {
		for _, m := range members {
			if m != owner {
				n := size.Resolved(u, m)
				t.add(owner, m, n)
				t.Resolved += n
			}
		}
	}
	return t
}

// Forecast is the traffic of a run's steps, each with its own work, on so many machines of the same
// speed that all can be dialled and stay. With parameters the first of them has all groups at the
// start.
func Forecast(works []Work, groups []int, leads Leads, codec transport.Codec, parameters bool, machines int) (out []Traffic) {
	var members []uint32
	var candidates []Candidate
	for i := range machines {
		members = append(members, uint32(i+1))
		candidates = append(candidates, Candidate{Worker: uint32(i + 1)})
	}
	owners, backups := slices.Repeat(members[:1], len(groups)), make([]uint32, len(groups))
	var last map[uint32]int
	for _, w := range works {
		shares := Assign(w, candidates, last)
		if parameters {
			owners, backups = Place(groups, members, owners)
		} else {
			owners = Owners(groups, leads, members)
		}
		out = append(out, Cost(w, shares, owners, SizesOf(groups, codec, parameters, backups), members))
		last = map[uint32]int{}
		for _, s := range shares {
			last[s.Worker] = s.Size()
		}
	}
	return out
}

// Alternatives are the traffic of a step under the shares that were chosen and under
// those that were not.
type Alternatives struct {
	Chosen Traffic // shares of neighbouring rows, few languages each
	Dealt  Traffic // rows dealt out one by one: every worker has nearly every language
	Plain  Traffic // one gradient per worker, as in plain data parallelism
}

// Compare computes the traffic of a step in the ways to divide its rows.
func Compare(w Work, shares []Share, owners []uint32, size Sizes, members []uint32) Alternatives {
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
	plain := Sizes{Row: size.Row, Resolved: func(u int, _ uint32) int64 { return size.Row(u) }}
	return Alternatives{Chosen: Cost(w, shares, owners, size, members), Dealt: Cost(dealt, even, owners, size, members),
		Plain: Cost(one, shares, owners, plain, members)}
}
