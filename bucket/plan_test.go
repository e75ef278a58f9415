package bucket

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// checkPlan replays a step and fails where two parameters that are alive at the
// same time share a byte, or memory is used before it is reused or past its end.
func checkPlan(t *testing.T, needs []need, reusable map[string][]int64, inFlight int, keep bool, p memoryPlan) {
	t.Helper()
	order := map[string]need{}
	for _, n := range needs {
		order[n.name] = n
	}
	lentAt, alive, pending, left := map[int]bool{}, map[string]spot{}, []int{}, map[int]int{}
	for _, n := range needs {
		left[n.group]++
	}
	held := map[int]bool{}
	for _, n := range needs {
		held[n.group] = held[n.group] || n.uses > 1
	}
	complete := func(n need) {
		if left[n.group]--; left[n.group] == 0 {
			pending = append(pending, n.group)
		}
	}
	open := func(n need) {
		for i, l := range p.reused {
			if l.from == n.name {
				lentAt[i] = true
			}
		}
		s := p.spots[n.name]
		for range s.resolve {
			for name, x := range order {
				if x.group == pending[0] {
					delete(alive, name)
				}
			}
			pending = pending[1:]
		}
		if s.bytes != n.bytes {
			t.Errorf("%s has %d bytes, needs %d", n.name, s.bytes, n.bytes)
		}
		if s.bytes == 0 {
			return
		}
		size := int64(0)
		if s.region < len(p.reused) {
			size = p.reused[s.region].size
			if !lentAt[s.region] || s.resolve > 0 && keep {
				t.Errorf("%s lies in memory that is not reused yet", n.name)
			}
		} else {
			size = p.own[s.region-len(p.reused)]
		}
		if s.offset%256 != 0 || s.offset+s.bytes > size {
			t.Errorf("%s lies at %d … %d of %d", n.name, s.offset, s.offset+s.bytes, size)
		}
		for other, o := range alive {
			if o.region == s.region && o.offset < s.offset+s.bytes && s.offset < o.offset+o.bytes {
				t.Errorf("%s overlaps %s, which is alive", n.name, other)
			}
		}
		alive[n.name] = s
	}
	for _, n := range needs {
		if n.uses > 1 {
			open(n)
		}
	}
	for _, n := range needs {
		if n.uses <= 1 {
			open(n)
		}
		complete(n)
	}
}

// Random models, reusable memory and limits: no two living parameters share memory, and
// nothing is taken from our own that a lender could have given alone.
func TestPlan(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var needs []need
		reusable := map[string][]int64{}
		var largest, all int64
		for u := range 1 + r.IntN(8) {
			for k := range 1 + r.IntN(5) {
				n := need{name: fmt.Sprintf("p%d.%d", u, k), group: u, bytes: 256 * int64(r.IntN(9)), uses: 1}
				needs = append(needs, n)
				all += n.bytes
				largest = max(largest, n.bytes)
				for range r.IntN(3) {
					reusable[n.name] = append(reusable[n.name], 256*int64(r.IntN(12)))
				}
			}
		}
		if r.IntN(2) == 0 {
			needs = append(needs, need{name: "tied", group: 100, bytes: 1024, uses: 2})
			all, largest = all+1024, max(largest, 1024)
		}
		inFlight, keep, limit := 1+r.IntN(3), r.IntN(4) == 0, int64(0)
		if r.IntN(3) == 0 {
			limit = max(largest, 256)
		}
		p := planMemory(needs, reusable, inFlight, keep, limit)
		checkPlan(t, needs, reusable, inFlight, keep, p)
		if p.bytes() > all {
			t.Errorf("seed %d: %d bytes for %d", seed, p.bytes(), all)
		}
		for _, own := range p.own {
			if limit > 0 && own > limit {
				t.Errorf("seed %d: an arena of %d bytes, at most %d", seed, own, limit)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// A parameter that may be cut takes what is free at the end, the largest pieces first,
// and of our own only the rest; no two of its parts and no living parameter share memory.
func TestPlanCuts(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		var needs []need
		reusable := map[string][]int64{}
		free := int64(0)
		for u := range 1 + r.IntN(6) {
			n := need{name: fmt.Sprint("p", u), group: u, bytes: 256 * int64(1+r.IntN(9)), uses: 1}
			needs = append(needs, n)
			size := 256 * int64(r.IntN(4000))
			reusable[n.name], free = []int64{size}, free+size
		}
		rows := 1 + r.IntN(5000)
		late := need{name: "late", group: 100, uses: 1, rows: rows, partBytes: func(rows int) int64 { return int64(rows+3) / 4 * 4 * 256 }}
		keep := r.IntN(3) == 0
		p := planMemory(append(needs, late), reusable, 1, keep, 1<<20)
		spots := map[string]spot{}
		lo, own := 0, int64(0)
		for i, x := range p.spots["late"].parts {
			if x.lo != lo || x.rows < 1 || x.bytes != late.partBytes(x.rows) || x.lo%64 != 0 {
				t.Fatalf("seed %d: part %d is %+v after %d rows", seed, i, x, lo)
			}
			lo += x.rows
			spots[fmt.Sprint("part ", i)] = x.spot
			if x.region >= len(p.reused) {
				own += x.bytes
			}
		}
		if lo != rows {
			t.Fatalf("seed %d: parts of %d rows, want %d", seed, lo, rows)
		}
		for _, n := range needs {
			if keep { // the others are resolved by then
				spots[n.name] = p.spots[n.name]
			}
		}
		checkApart(t, spots)
		if most := max(0, late.partBytes(rows)-free) + int64(len(needs)+1)*(64+max(64, int64(rows)/mostParts))*256 + 9*256; own > most {
			t.Fatalf("seed %d: %d bytes of our own, at most %d are needed", seed, own, most)
		}
	}
}

// checkApart fails where two spots share a byte.
func checkApart(t *testing.T, spots map[string]spot) {
	t.Helper()
	for a, x := range spots {
		for b, y := range spots {
			if a < b && x.region == y.region && x.offset < y.offset+y.bytes && y.offset < x.offset+x.bytes {
				t.Fatalf("%s %+v and %s %+v overlap", a, x, b, y)
			}
		}
	}
}

// Layers that follow each other use one layer's memory, and none of their own
// where the backward pass leaves enough to reuse.
func TestPlanReuses(t *testing.T) {
	var needs []need
	reusable := map[string][]int64{}
	for u := range 6 {
		for k := range 3 {
			needs = append(needs, need{name: fmt.Sprintf("%d.%d", u, k), group: u, bytes: 1024, uses: 1})
		}
	}
	if p := planMemory(needs, nil, 1, false, 0); p.bytes() != 3*1024 {
		t.Errorf("one in flight takes %d bytes", p.bytes())
	}
	if p := planMemory(needs, nil, 2, false, 0); p.bytes() != 6*1024 {
		t.Errorf("two in flight take %d bytes", p.bytes())
	}
	if p := planMemory(needs, nil, 1, true, 0); p.bytes() != 18*1024 {
		t.Errorf("all kept take %d bytes", p.bytes())
	}
	reusable["0.1"] = []int64{2048}
	reusable["1.0"] = []int64{4096}
	if p := planMemory(needs, reusable, 1, false, 0); p.bytes() != 1024 {
		t.Errorf("with memory reused from the second parameter on, %d bytes", p.bytes())
	}
}

// Rows in turn take the largest free range of reused memory, up to a limit, and where that is
// small memory of their own, for a 64th of the rows or a few megabytes.
func TestRowsInTurn(t *testing.T) {
	for name, c := range map[string]struct {
		reusable  []int64
		rows, row int
		want      int
		own       bool
	}{
		"the largest range":       {reusable: []int64{256 * 100, 256 * 400}, rows: 1024, row: 256, want: 384},
		"all rows":                {reusable: []int64{256 * 2000}, rows: 1000, row: 256, want: 1000},
		"no more than the limit":  {reusable: []int64{64 << 20}, rows: 1 << 20, row: 1024, want: mostInTurn / 1024},
		"small ranges":            {reusable: []int64{256 * 127}, rows: 1024, row: 256, want: 128, own: true},
		"nothing free":            {rows: 1 << 20, row: 4096, want: leastInTurn / 4096, own: true},
		"few rows, nothing free":  {rows: 40, row: 256, want: 40, own: true},
		"a row larger than usual": {rows: 1 << 20, row: 1 << 20, want: 128, own: true},
	} {
		n := need{name: "embedding", turn: true, rows: c.rows, partBytes: func(rows int) int64 { return int64(rows * c.row) }, uses: 1}
		p := planMemory([]need{n}, map[string][]int64{"embedding": c.reusable}, 1, false, 0)
		s := p.spots["embedding"]
		if len(s.parts) != 1 || s.parts[0].rows != c.want || s.parts[0].lo != 0 || s.parts[0].bytes != n.partBytes(c.want) {
			t.Errorf("%s: %+v, want %d rows", name, s, c.want)
		}
		if (p.bytes() > 0) != c.own {
			t.Errorf("%s: memory of its own has %d bytes", name, p.bytes())
		}
	}
}
