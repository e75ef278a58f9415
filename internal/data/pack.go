package data

import (
	"cmp"
	"math/bits"
	"slices"
)

// packing is a way to fill rows of seqLen positions with examples. Slots are
// the examples in decreasing order of length, and bins lists each row's slots.
//
// Best-fit decreasing sees lengths only, in sorted order. Permuting examples of
// equal length therefore changes neither the number of rows nor their fill: a
// new epoch is a permutation within classes, and a row of any epoch is found
// without packing those before.
type packing struct {
	order   []int    // slot → example, before any permutation
	classes [][2]int // ranges of slots of equal length
	bins    [][]int  // row → slots
	tokens  int      // positions filled
}

// pack packs examples, each of which must fit, into rows of seqLen positions:
// longest first, each into the fullest row that has room.
func pack(examples []Example, seqLen int) *packing {
	p := &packing{order: make([]int, len(examples))}
	for i := range p.order {
		p.order[i] = i
	}
	size := func(slot int) int { return examples[p.order[slot]].Positions() }
	slices.SortStableFunc(p.order, func(a, b int) int {
		return cmp.Compare(examples[b].Positions(), examples[a].Positions())
	})
	room := newRooms(seqLen)
	for slot := range p.order {
		n := size(slot)
		p.tokens += n
		if slot == 0 || size(slot-1) != n {
			p.classes = append(p.classes, [2]int{slot, slot})
		}
		p.classes[len(p.classes)-1][1] = slot + 1
		bin, left, ok := room.take(n)
		if !ok {
			bin, left = len(p.bins), seqLen
			p.bins = append(p.bins, nil)
		}
		p.bins[bin] = append(p.bins[bin], slot)
		room.put(bin, left-n)
	}
	return p
}

// rooms finds the row with the least room of at least n: stacks of rows by
// room left, and a bitmap of the stacks that are not empty.
type rooms struct {
	rows [][]int
	used []uint64
}

func newRooms(most int) *rooms {
	return &rooms{rows: make([][]int, most+1), used: make([]uint64, most/64+1)}
}

func (r *rooms) put(row, left int) {
	r.rows[left] = append(r.rows[left], row)
	r.used[left/64] |= 1 << (left % 64)
}

func (r *rooms) take(n int) (row, left int, ok bool) {
	for w := n / 64; w < len(r.used); w++ {
		word := r.used[w]
		if w == n/64 {
			word &^= 1<<(n%64) - 1
		}
		if word == 0 {
			continue
		}
		left = w*64 + bits.TrailingZeros64(word)
		stack := r.rows[left]
		row = stack[len(stack)-1]
		r.rows[left] = stack[:len(stack)-1]
		if len(stack) == 1 {
			r.used[w] &^= 1 << (left % 64)
		}
		return row, left, true
	}
	return 0, 0, false
}
