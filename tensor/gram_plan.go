package tensor

import "math"

const (
	gramBlock = 8  // rows per block in registers, of gram and gram_cross
	gramTile  = 32 // rows per block in workgroup memory, of gram_tile
	gramFold  = 256
	// Partial sums per pair that travel to the host: gramFold of up to gramBlock rows,
	// whose few pairs cost nothing, gramLast of more.
	gramLast = 16
	// Vec4 per row that an invocation of gram sums, see stripOf.
	minStrip, maxStrip = 16, 64
	// Groups of 8 vec4 per row that a workgroup of gram_tile sums.
	minSteps, maxSteps = 4, 32
	// stripSlots invocations, or tileSlots workgroups, keep a GPU busy.
	stripSlots, tileSlots = 32768, 512
)

// gramPlan is how the Gram of m rows is cut: by blocks of h rows, each pair of
// blocks (i, j), j ≤ i, one dispatch, or several pairs, see batched.
type gramPlan struct {
	m, h int
	tile bool // by gram_tile, else gram and gram_cross
}

// gramPlan is the plan for rows. A software rasterizer runs workgroup memory slowly.
func (e *Engine) gramPlan(rows TaskGrads) gramPlan {
	p := gramPlan{m: rows.M, h: gramBlock}
	if !e.cpu && rows.M > gramBlock {
		p.h, p.tile = gramTile, true
	}
	return p.bindable(rows, e.tune.limit)
}

// bindable halves the blocks until one binding can span one.
func (p gramPlan) bindable(rows TaskGrads, limit int64) gramPlan {
	for p.h > 1 && rows.slice(0, min(p.h, rows.M)).View().Size > limit {
		p.h /= 2
	}
	return p
}

// lengths is TaskGrads of m vectors of n values as NewGramScratch and GramSumBytes know them.
func lengths(m, n int) TaskGrads { return TaskGrads{M: m, Stride: alignUp(n, 64), R: 1, LD: F32.LD(n)} }

// batched says that gramBatched makes the sums: they need no fold at once, whose memory is of one block pair, and
// one binding spans all rows and all sums.
func (p gramPlan) batched(rows TaskGrads, slots int, limit int64) bool {
	total, _ := p.total()
	return !p.tile && p.h == gramBlock && p.m > gramBlock && slots <= gramFold && max(rows.View().Size, f32Bytes(total*slots)) <= limit
}

func (p gramPlan) blocks() int { return ceilDiv(p.m, p.h) }

// rows is the height of block i.
func (p gramPlan) rows(i int) int { return min(p.h, p.m-i*p.h) }

// pairs counts the entries that the kernels write for block pair (i, j).
func (p gramPlan) pairs(i, j int) int {
	r := p.rows(i)
	switch {
	case i == j:
		return r * (r + 1) / 2
	case p.tile:
		return r * p.rows(j)
	}
	return gramBlock * gramBlock // gram_cross pads short blocks with zeros
}

// total counts the entries of all block pairs, most those of the largest.
func (p gramPlan) total() (total, most int) {
	for i := range p.blocks() {
		for j := range i + 1 {
			total, most = total+p.pairs(i, j), max(most, p.pairs(i, j))
		}
	}
	return total, most
}

// at is the entry (r, c) of G in place k of block pair (i, j); for the entries with which
// gram_cross pads a short block, r is math.MaxInt.
func (p gramPlan) at(i, j, k int) (r, c int) {
	switch {
	case i == j:
		for (r+1)*(r+2)/2 <= k {
			r++
		}
		return i*p.h + r, i*p.h + k - r*(r+1)/2
	case p.tile:
		return i*p.h + k/p.rows(j), j*p.h + k%p.rows(j)
	case k%gramBlock >= p.h || k/gramBlock >= p.h:
		return math.MaxInt, 0
	}
	return i*p.h + k%gramBlock, j*p.h + k/gramBlock
}

// strip is how many vec4 (gram), or groups of 8 (gram_tile), of each row one sum
// takes, of n values per row: on a GPU fewer for short rows, so that it is busy.
func (e *Engine) strip(p gramPlan, n int) int {
	if !p.tile {
		return e.stripOf(n)
	}
	steps := maxSteps
	for steps > minSteps && int(vec4s(n)) < 8*steps*tileSlots {
		steps /= 2
	}
	return steps
}

// slots is the number of partial sums of a pair that the kernels write.
func (e *Engine) slots(p gramPlan, n int) int {
	if p.tile {
		unit := 4 // so that the sums of the second block begin where they can be bound
		if p.h < gramTile {
			unit = 64
		}
		return max(unit, alignUp(ceilDiv(int(vec4s(n)), 8*e.strip(p, n)), unit))
	}
	return slotsOf(n, e.stripOf(n))
}

// mostSlots is the largest number of slots for rows of up to n values: a row that is
// short enough for a shorter strip takes more of them than a longer one.
func (e *Engine) mostSlots(p gramPlan, n int) int {
	most := e.slots(p, n)
	shorter := func(vec4Below int) { most = max(most, e.slots(p, min(n, vec4*(vec4Below-1)))) } // the longest below a strip's range
	if p.tile {
		for steps := minSteps * 2; steps <= maxSteps; steps *= 2 {
			shorter(8 * steps * tileSlots)
		}
		return most
	}
	for strip := minStrip * 2; strip <= maxStrip; strip *= 2 {
		shorter(strip * stripSlots)
	}
	return most
}

// folded is how many partial sums of a pair are left after the first fold on the
// device, and after the last.
func (p gramPlan) folded(slots int) (first, last int) {
	first = min(slots, gramFold)
	if p.m <= gramBlock {
		return first, first
	}
	return first, min(first, gramLast)
}

// sums is the number of partial sums that slots of them per pair make: as the kernels
// write them of one block pair, after the first fold, and after the last; 0 where they
// go on at once.
func (p gramPlan) sums(slots int) [3]int {
	total, most := p.total()
	first, last := p.folded(slots)
	n := [3]int{most * slots, total * first, total * last}
	if slots == first {
		n[0] = 0
	}
	if first == last {
		n[1] = 0
	}
	return n
}

// stripOf is how many vec4 of each row one invocation of gram or sum_squares sums, of
// n values per row: 64 on a CPU rasterizer, where the partial sums of 8 rows are then
// 2 % of the data read, and on a GPU fewer for short rows, so that it is busy.
func (e *Engine) stripOf(n int) int {
	strip := maxStrip
	for !e.cpu && strip > minStrip && int(vec4s(n)) < strip*stripSlots {
		strip /= 2
	}
	return strip
}

// slotsOf is the number of invocations that share n values per row.
func slotsOf(n, strip int) int { return 64 * max(1, ceilDiv(int(vec4s(n)), 64*strip)) }
