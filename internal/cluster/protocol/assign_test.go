package protocol

import (
	"math/rand/v2"
	"slices"
	"testing"

	"concord/transport"
)

// batch is rows sorted by language, so many of each.
func batch(perLang ...int) Work {
	w := Work{Segments: len(perLang), Langs: len(perLang)}
	for m, n := range perLang {
		for range n {
			w.Lang, w.Tokens = append(w.Lang, m), append(w.Tokens, 10)
		}
	}
	w.Segment = w.Lang
	return w
}

func sizes(s []Share) (out []int) {
	for _, x := range s {
		out = append(out, x.Size())
	}
	return out
}

// Shares cut the batch, follow speed, leave nobody without rows, and split few
// languages.
func TestAssign(t *testing.T) {
	pace := func(p ...float64) (c []Candidate) {
		for i, x := range p {
			c = append(c, Candidate{Worker: uint32(i + 1), Pace: Pace{Row: x}})
		}
		return c
	}
	for _, c := range []struct {
		name string
		work Work
		who  []Candidate
		want []int
	}{
		{"nothing known", batch(4, 4, 4), pace(0, 0, 0), []int{4, 4, 4}},
		{"three times faster", batch(4, 4, 4, 4), pace(1, 3), []int{12, 4}},
		{"a newcomer is taken for average", batch(4, 4, 4), pace(1, 0, 1), []int{4, 4, 4}},
		{"a cut moves to the border of a language", batch(7, 9), pace(1, 1), []int{7, 9}},
		{"but not far", batch(4, 12), pace(1, 1), []int{8, 8}},
		{"very slow, and still measured", batch(4, 4), pace(1, 1000), []int{7, 1}},
		{"more machines than rows", batch(1, 1), pace(1, 1, 1), []int{1, 1, 0}},
	} {
		if got := sizes(Assign(c.work, c.who, nil)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	base := []Candidate{{Worker: 1, Pace: Pace{Base: 4, Row: 1}}, {Worker: 2, Pace: Pace{Row: 1}}}
	if got := sizes(Assign(batch(12), base, nil)); !slices.Equal(got, []int{4, 8}) {
		t.Errorf("what a step costs without rows counts: %v", got)
	}
	if got := sizes(Assign(batch(100), pace(1, 1.05), map[uint32]int{1: 50, 2: 50})); !slices.Equal(got, []int{50, 50}) {
		t.Errorf("shares that are nearly as good are kept: %v", got)
	}
}

// Whatever is asked, shares are neighbours that cover the batch once.
func TestAssignCoversTheBatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var per []int
		for range 1 + r.IntN(6) {
			per = append(per, r.IntN(9))
		}
		w := batch(per...)
		var c []Candidate
		for i := range 1 + r.IntN(9) {
			c = append(c, Candidate{Worker: uint32(i), Pace: Pace{Base: r.Float64(), Row: r.Float64() * float64(r.IntN(2))}})
		}
		shares, at := Assign(w, c, nil), 0
		for _, s := range shares {
			if s.From != at || s.To < s.From {
				t.Fatalf("%v of %v", shares, per)
			}
			at = s.To
		}
		if at != len(w.Lang) || len(shares) != len(c) {
			t.Fatalf("%v of %v", shares, per)
		}
	}
}

// One language per worker costs what plain data parallelism costs.
func TestTrafficIsThatOfDataParallelism(t *testing.T) {
	w := batch(4, 4, 4, 4)
	who := []Candidate{{Worker: 1}, {Worker: 2}, {Worker: 3}, {Worker: 4}}
	members := []uint32{1, 2, 3, 4}
	groups := []int{100, 200, 300, 400}
	a := Compare(w, Assign(w, who, nil), Owners(groups, nil, members), SizesOf(groups, transport.BF16, false, nil), members)
	if a.Chosen.Total() != a.Plain.Total() || a.Plain.Total() != 2*3*2*1000 { // (W−1)·P up and as much down, 2 bytes each
		t.Errorf("chosen %d, plain %d", a.Chosen.Total(), a.Plain.Total())
	}
	if a.Dealt.Rows != 4*a.Plain.Rows {
		t.Errorf("every language everywhere: %d rows, plain %d", a.Dealt.Rows, a.Plain.Rows)
	}
}

func TestOwnersShareTheLoad(t *testing.T) {
	o := Owners([]int{5, 5, 5, 5, 4, 4}, nil, []uint32{7, 3, 9})
	load := map[uint32]int{}
	for u, w := range o {
		load[w] += []int{5, 5, 5, 5, 4, 4}[u]
	}
	if len(load) != 3 || load[3] > 10 || load[7] > 10 || load[9] > 10 {
		t.Errorf("%v", load)
	}
}
