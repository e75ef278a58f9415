package data

import "math/bits"

// packing is a way to fill rows of seqLen positions with examples. Slots are
// the examples in decreasing order of length, and bins lists each row's slots.
//
// Best-fit decreasing sees lengths only, in sorted order. Permuting examples of
// equal length therefore changes neither the number of rows nor their fill: a
// new epoch is a permutation within classes, and a row of any epoch is found
// without packing those before.
type packing struct {
	order   []uint32    // slot → example, before any permutation
	classes [][2]uint32 // ranges of slots of equal length
	whole   int         // leading rows in which nothing else fits: row i is slot i
	starts  []uint32    // row after those → its first place in slots; one more at the end
	slots   []uint32    // their slots, row after row, each row's ascending
	tokens  int         // positions filled
}

// rows is the number of rows.
func (p *packing) rows() int { return p.whole + len(p.starts) - 1 }

// row is the slots of one row.
func (p *packing) row(i int) []uint32 {
	if i < p.whole {
		return []uint32{uint32(i)}
	}
	i -= p.whole
	return p.slots[p.starts[i]:p.starts[i+1]]
}

// pack packs examples into rows of seqLen positions, in which each must fit:
// longest first, each into the fullest row that has room.
func pack(examples Examples, seqLen int) *packing {
	defer lean()()
	p := &packing{}
	p.sort(examples, seqLen)
	shortest := p.shortest(examples)
	for _, c := range p.classes {
		n := examples.Positions(int(p.order[c[0]]))
		if p.tokens += n * int(c[1]-c[0]); seqLen-n < shortest {
			p.whole = int(c[1])
		}
	}
	p.fill(examples, seqLen, shortest)
	return p
}

// fill packs the slots that follow the whole rows.
func (p *packing) fill(examples Examples, seqLen, shortest int) {
	rowOf, numRows, room := make([]uint32, len(p.order)-p.whole), uint32(0), newRooms(seqLen)
	for _, c := range p.classes {
		n := examples.Positions(int(p.order[c[0]]))
		for slot := max(int(c[0]), p.whole); slot < int(c[1]); slot++ {
			row, left, ok := room.take(n)
			if !ok {
				row, left = numRows, seqLen
				numRows++
			}
			rowOf[slot-p.whole] = row
			if left -= n; left >= shortest { // else nothing more goes into it
				room.put(row, left)
			}
		}
	}
	p.group(rowOf, numRows)
}

// sort puts the examples in decreasing order of length, equal ones as they are, and
// finds the classes.
func (p *packing) sort(examples Examples, seqLen int) {
	starts := make([]uint32, seqLen+2) // by seqLen − length
	for i := range examples.Len() {
		starts[seqLen-examples.Positions(i)+1]++
	}
	for i := 1; i < len(starts); i++ {
		if starts[i] > 0 {
			p.classes = append(p.classes, [2]uint32{starts[i-1], starts[i-1] + starts[i]})
		}
		starts[i] += starts[i-1]
	}
	p.order = make([]uint32, examples.Len())
	for i := range p.order {
		at := &starts[seqLen-examples.Positions(i)]
		p.order[*at] = uint32(i)
		*at++
	}
}

// shortest is the length of the last example.
func (p *packing) shortest(examples Examples) int {
	if len(p.order) == 0 {
		return 0
	}
	return examples.Positions(int(p.order[len(p.order)-1]))
}

// group lists the slots that follow the whole rows, row by row.
func (p *packing) group(rowOf []uint32, rows uint32) {
	p.starts = make([]uint32, rows+1)
	for _, r := range rowOf {
		p.starts[r+1]++
	}
	for r := range rows {
		p.starts[r+1] += p.starts[r]
	}
	p.slots = make([]uint32, len(rowOf))
	for slot, r := range rowOf {
		p.slots[p.starts[r]] = uint32(p.whole + slot)
		p.starts[r]++
	}
	copy(p.starts[1:], p.starts[:rows]) // each has become the start of the next row
	p.starts[0] = 0
}

// rooms finds the row with the least room of at least n: stacks of rows by
// room left, and a bitmap of the stacks that are not empty.
type rooms struct {
	rows [][]uint32
	used []uint64
}

func newRooms(most int) *rooms {
	return &rooms{rows: make([][]uint32, most+1), used: make([]uint64, most/64+1)}
}

func (r *rooms) put(row uint32, left int) {
	r.rows[left] = append(r.rows[left], row)
	r.used[left/64] |= 1 << (left % 64)
}

func (r *rooms) take(n int) (row uint32, left int, ok bool) {
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
