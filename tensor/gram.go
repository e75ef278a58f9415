package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"concord/gpu"
)

const (
	gramBlock = 8   // rows per block: what one invocation keeps in registers
	gramFold  = 256 // partial sums per pair that travel to the host
	// Vec4 per row that an invocation sums, see stripOf.
	minStrip, maxStrip = 16, 64
	// stripSlots invocations keep a GPU busy.
	stripSlots = 32768
)

type gramParams struct{ N4, Stride4, Slots uint32 }
type gramFoldParams struct{ Pairs, Slots, Outs uint32 }

// GramScratch is the memory of Gram's partial sums. One scratch may serve any
// number of Grams in flight, as the device runs them in order.
type GramScratch struct {
	part, out Tensor
	root      Tensor // (1, n) see NewGramAdamScratch
	m, n      int
}

// NewGramScratch allocates for Grams of up to m rows of up to n elements.
func (e *Engine) NewGramScratch(m, n int) GramScratch {
	n = F32.LD(n)
	h := gramHeight(Rows{M: m, Stride: alignUp(n, 64), R: 1, LD: n}, e.Dev.Info().Limits.MaxStorageBufferBindingSize)
	return e.gramScratch(m, n, h)
}

// gramScratch is NewGramScratch for blocks of h rows.
func (e *Engine) gramScratch(m, n, h int) GramScratch {
	s := GramScratch{m: m, n: n}
	slots := e.mostSlots(n)
	total := totalPairs(m, h)
	if slots > gramFold {
		s.part = e.New(gpu.RoleScratch, "gram partials", 1, min(total, gramBlock*gramBlock)*slots)
	}
	s.out = e.New(gpu.RoleScratch, "gram sums", 1, total*min(slots, gramFold))
	return s
}

// Release frees the scratch.
func (s GramScratch) Release() {
	if s.part.Buf != nil {
		s.part.Buf.Release()
	}
	if s.root.Buf != nil {
		s.root.Buf.Release()
	}
	s.out.Buf.Release()
}

// check panics when s cannot hold the partial sums of rows by blocks of h.
func (s GramScratch) check(rows Rows, h, slots, outs int) {
	total := totalPairs(rows.M, h)
	part := min(total, gramBlock*gramBlock) * slots
	if slots == outs {
		part = 0 // they go to out at once
	}
	if part > s.part.LD || total*outs > s.out.LD {
		panic(fmt.Sprintf("tensor: gram: scratch for %d rows of %d values holds %d partial and %d final sums; %d rows of %d, %d apart, need %d and %d",
			s.m, s.n, s.part.LD, s.out.LD, rows.M, rows.R*rows.LD, rows.Stride, part, total*outs))
	}
}

// PendingGram is a Gram matrix on its way to the host.
type PendingGram struct {
	read      *gpu.Readback
	m, height int
}

// Gram starts G = J Jᵀ, (M, M), where row m of J is objective m's matrix in
// rows, flattened with its padding (which is zero): R*LD values. M is at most
// 64. Summation is blocked in float32 on the device and finished in float64 on
// the host; the relative error of an entry is near one float32 ulp of
// √(Gᵢᵢ Gⱼⱼ). Non-finite gradients give non-finite entries in their row and
// column only. s must have been made for at least M rows of this length.
func (e *Engine) Gram(rows Rows, s GramScratch) *PendingGram {
	if n := rows.R * rows.LD; rows.M < 1 || rows.M > 64 || rows.M > s.m || n > s.n {
		panic(fmt.Sprintf("tensor: gram: %d rows of %d values (at most 64 rows), scratch for %d of %d", rows.M, n, s.m, s.n))
	}
	return e.gram(rows, s, gramHeight(rows, e.Dev.Info().Limits.MaxStorageBufferBindingSize))
}

// gram is Gram by blocks of h rows.
func (e *Engine) gram(rows Rows, s GramScratch, h int) *PendingGram {
	sums := e.gramRecord(rows, s, h, Tensor{})
	return &PendingGram{read: e.Dev.Read(sums), m: rows.M, height: h}
}

// gramRecord records the device's part and returns where the sums are. Rows are
// multiplied by root (1, n), unless that is nothing.
func (e *Engine) gramRecord(rows Rows, s GramScratch, h int, root Tensor) gpu.View {
	slots := slotsOf(rows.R*rows.LD, e.stripOf(rows.R*rows.LD))
	outs := min(slots, gramFold)
	s.check(rows, h, slots, outs)
	first := 0 // first pair of the block pair, in s.out
	for i := range ceilDiv(rows.M, h) {
		for j := range i + 1 {
			pairs := pairsOf(rows.M, h, i, j)
			to := gpu.View{Buf: s.out.Buf, Offset: s.out.Offset + f32Bytes(first*outs), Size: f32Bytes(pairs * outs)}
			part := to
			if slots > outs {
				part = gpu.View{Buf: s.part.Buf, Size: f32Bytes(pairs * slots)}
			}
			e.gramBlock(part, rows, root, h, i, j, slots)
			if slots > outs {
				e.gramFold(to, part, pairs, slots, outs)
			}
			first += pairs
		}
	}
	return gpu.View{Buf: s.out.Buf, Offset: s.out.Offset, Size: f32Bytes(first * outs)}
}

// gramBlock sums block (i, j) of G, j ≤ i, into part (pairs, slots).
func (e *Engine) gramBlock(part gpu.View, rows Rows, root Tensor, h, i, j, slots int) {
	n := rows.R * rows.LD
	consts := map[string]string{"ROWS": strconv.Itoa(blockRows(rows.M, h, i)), "STRIP": strconv.Itoa(e.stripOf(n))}
	weights := e.tune.placeholder()
	if root.Buf != nil {
		weights, consts["WEIGHTED"] = root.View(), "1"
	}
	c := call{kernel: "gram", params: gramParams{vec4s(n), vec4s(rows.Stride), uint32(slots)},
		binds:  []gpu.View{blockView(rows, h, i), weights, part},
		consts: consts,
		groups: grid(slots / 64), work: e.moving(f32Bytes(n)*int64(min(rows.M, 2*h)), int64(n)*int64(pairsOf(rows.M, h, i, j))*2)}
	if i != j { // block j is full, block i may be short
		c.kernel, c.binds = "gram_cross", []gpu.View{blockView(rows, h, j), blockView(rows, h, i), weights, part}
		c.consts["HEIGHT"] = strconv.Itoa(h)
	}
	e.run(c)
}

func (e *Engine) gramFold(to, part gpu.View, pairs, slots, outs int) {
	e.run(call{kernel: "gram_fold", params: gramFoldParams{uint32(pairs), uint32(slots), uint32(outs)},
		binds: []gpu.View{part, to}, groups: grid(ceilDiv(pairs*outs, 64)), work: e.moving(f32Bytes(pairs*slots), int64(pairs*slots))})
}

// Wait returns G as M*M values in row-major order, both triangles filled.
func (g *PendingGram) Wait() ([]float64, error) {
	b, err := g.read.Wait()
	if err != nil {
		return nil, fmt.Errorf("tensor: gram: %w", err)
	}
	out := make([]float64, g.m*g.m)
	addGram(out, b, g.m, g.height)
	return out, nil
}

// addGram adds the Gram whose partial sums are b, by blocks of h rows, to out.
func addGram(out []float64, b []byte, m, h int) {
	size := len(b) / totalPairs(m, h) // bytes of partial sums of one pair
	for i := range ceilDiv(m, h) {
		for j := range i + 1 {
			for k := range pairsOf(m, h, i, j) {
				if r, c := pairAt(h, i, j, k); r < m {
					v := sumFloats(b[:size])
					out[r*m+c] += v
					if r != c {
						out[c*m+r] += v
					}
				}
				b = b[size:]
			}
		}
	}
}

// pairAt is the entry (r, c) of G in place k of block pair (i, j), blocks of h
// rows; for the pairs that gram_cross pads a short block with, r is math.MaxInt.
func pairAt(h, i, j, k int) (r, c int) {
	if i != j {
		if k%gramBlock >= h || k/gramBlock >= h {
			return math.MaxInt, 0
		}
		return i*h + k%gramBlock, j*h + k/gramBlock
	}
	for (r+1)*(r+2)/2 <= k {
		r++
	}
	return i*h + r, i*h + k - r*(r+1)/2
}

// blockRows is the height of block i of m rows.
func blockRows(m, h, i int) int { return min(h, m-i*h) }

// pairsOf counts the entries that the kernels write for block pair (i, j).
func pairsOf(m, h, i, j int) int {
	if i != j {
		return gramBlock * gramBlock
	}
	r := blockRows(m, h, i)
	return r * (r + 1) / 2
}

// totalPairs counts the entries for all blocks of m rows.
func totalPairs(m, h int) int {
	total := 0
	for i := range ceilDiv(m, h) {
		for j := range i + 1 {
			total += pairsOf(m, h, i, j)
		}
	}
	return total
}

// blockView binds the rows of block i only.
func blockView(rows Rows, h, i int) gpu.View {
	return rows.slice(i*h, i*h+blockRows(rows.M, h, i)).View()
}

// gramHeight is the number of rows per block that one binding can span.
func gramHeight(rows Rows, bindingBytes int64) int {
	h := gramBlock
	for h > 1 && rows.slice(0, min(h, rows.M)).View().Size > bindingBytes {
		h /= 2
	}
	return h
}

// stripOf is how many vec4 of each row one invocation sums, of n values per
// row: 64 on a CPU rasterizer, where the partial sums of 8 rows are then 2 % of
// what is read, and on a GPU fewer for short rows, so that it is busy.
func (e *Engine) stripOf(n int) int {
	strip := maxStrip
	for !e.cpu && strip > minStrip && int(vec4s(n)) < strip*stripSlots {
		strip /= 2
	}
	return strip
}

// mostSlots is the largest number of invocations for rows of up to n values: a
// row that is short enough for a shorter strip takes more of them than a longer one.
func (e *Engine) mostSlots(n int) int {
	most := slotsOf(n, e.stripOf(n))
	for strip := minStrip * 2; strip <= maxStrip; strip *= 2 {
		below := min(n, vec4*(strip*stripSlots-1)) // the longest below this strip's range
		most = max(most, slotsOf(below, e.stripOf(below)))
	}
	return most
}

// slotsOf is the number of invocations that share n values per row.
func slotsOf(n, strip int) int { return 64 * max(1, ceilDiv(int(vec4s(n)), 64*strip)) }

func alignUp(n, a int) int { return (n + a - 1) / a * a }

// sumFloats adds little-endian float32 values in float64.
func sumFloats(b []byte) float64 {
	var sum float64
	for i := 0; i+4 <= len(b); i += 4 {
		sum += float64(math.Float32frombits(binary.LittleEndian.Uint32(b[i:])))
	}
	return sum
}
