package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"concord/gpu"
)

type gramParams struct{ N4, Stride4, Slots uint32 }
type gramCrossParams struct{ N4, Stride4, Slots, First uint32 }
type gramFoldParams struct{ Pairs, Slots, Outs uint32 }

// GramScratch is the memory of Gram's partial sums. One scratch may serve any
// number of Grams in flight, as the device runs them in order.
type GramScratch struct {
	part, mid Tensor // of one block pair as the kernels write them; of all after the first fold
	out       Tensor // the values that travel to the host
	root      Tensor // (1, n) see NewGramAdamScratch
	m, n      int
}

// NewGramScratch allocates for Grams of up to m rows of up to n elements.
func (e *Engine) NewGramScratch(m, n int) GramScratch {
	p := e.gramPlan(lengths(m, n))
	size := e.gramSizes(p, n)
	for full := e.gramPlan(lengths(m, 0)).h; p.h < full; { // shorter rows may take larger blocks
		p.h *= 2
		for i, s := range e.gramSizes(p, min(n, int(F32.Elements(e.tune.limit))/min(p.h, m))) {
			size[i] = max(size[i], s)
		}
	}
	return e.gramScratch(m, n, size)
}

// gramSizes is gramPlan.sums for rows of up to n elements.
func (e *Engine) gramSizes(p gramPlan, n int) [3]int {
	return p.sums(e.mostSlots(p, F32.LD(n)))
}

// gramScratch allocates so many partial sums.
func (e *Engine) gramScratch(m, n int, size [3]int) GramScratch {
	s := GramScratch{m: m, n: F32.LD(n)}
	for i, t := range []*Tensor{&s.part, &s.mid, &s.out} {
		if size[i] > 0 {
			*t = e.New(gpu.RoleScratch, []string{"gram partials", "gram folded partials", "gram sums"}[i], 1, size[i])
		}
	}
	return s
}

// Release frees the scratch.
func (s GramScratch) Release() {
	for _, t := range []Tensor{s.part, s.mid, s.out, s.root} {
		if t.Buf != nil {
			t.Buf.Release()
		}
	}
}

// check panics when s cannot hold the partial sums of rows by plan p.
func (s GramScratch) check(rows TaskGrads, p gramPlan, slots int) {
	need := p.sums(slots)
	if have := [3]int{s.part.LD, s.mid.LD, s.out.LD}; need[0] > have[0] || need[1] > have[1] || need[2] > have[2] {
		panic(fmt.Sprintf("tensor: gram: scratch for %d rows of %d values holds %v partial, folded and final sums; "+
			"%d rows of %d, %d apart, need %v",
			s.m, s.n, have, rows.M, rows.R*rows.LD, rows.Stride, need))
	}
}

// PendingGram is a Gram matrix on its way to the host.
type PendingGram struct {
	read *gpu.Readback
	plan gramPlan
}

// Gram starts G = J Jᵀ, (M, M), where row m of J is objective m's matrix in
// rows, flattened with its padding (which is zero): R*LD values. M is at most
// 64. Summation is blocked in float32 on the device and finished in float64 on
// the host; the relative error of an entry is near one float32 ulp of
// √(Gᵢᵢ Gⱼⱼ). Non-finite gradients give non-finite entries in their row and
// column only. s must have been made for at least M rows of this length.
func (e *Engine) Gram(rows TaskGrads, s GramScratch) *PendingGram {
	if n := rows.R * rows.LD; rows.M < 1 || rows.M > 64 || rows.M > s.m || n > s.n {
		panic(fmt.Sprintf("tensor: gram: %d rows of %d values (at most 64 rows), scratch for %d of %d", rows.M, n, s.m, s.n))
	}
	return e.gram(rows, s, e.gramPlan(rows))
}

// gram is Gram by plan p.
func (e *Engine) gram(rows TaskGrads, s GramScratch, p gramPlan) *PendingGram {
	sums := e.gramRecord(rows, s, p, Tensor{})
	return &PendingGram{read: e.Dev.Read(sums), plan: p}
}

// gramRecord records the device's part and returns where the sums are. Rows are
// multiplied by root (1, n), unless that is nothing.
func (e *Engine) gramRecord(rows TaskGrads, s GramScratch, p gramPlan, root Tensor) gpu.View {
	slots := e.slots(p, rows.R*rows.LD)
	first, last := p.folded(slots)
	s.check(rows, p, slots)
	folded := s.out
	if first > last {
		folded = s.mid
	}
	if p.batched(rows, slots, e.tune.limit) {
		total, _ := p.total()
		to := f32View(folded, 0, total*first)
		e.gramBatched(to, rows, root, p, slots)
		if first > last {
			e.gramFold(f32View(s.out, 0, total*last), to, total, first, last)
		}
		return f32View(s.out, 0, total*last)
	}
	at := 0 // first pair of the block pair
	for i := range p.blocks() {
		for j := range i + 1 {
			pairs := p.pairs(i, j)
			to := f32View(folded, at*first, pairs*first)
			part := to
			if slots > first {
				part = f32View(s.part, 0, pairs*slots)
			}
			e.gramBlock(part, rows, root, p, i, j, slots)
			if slots > first {
				e.gramFold(to, part, pairs, slots, first)
			}
			at += pairs
		}
	}
	if first > last {
		e.gramFold(f32View(s.out, 0, at*last), f32View(s.mid, 0, at*first), at, first, last)
	}
	return f32View(s.out, 0, at*last)
}

// gramBatched sums all blocks of G into part (pairs, slots): the full ones on the diagonal in one
// dispatch, those below it in another, and those of a short last block in two more. The launches of short
// rows' blocks, one by one, took longer than their work.
func (e *Engine) gramBatched(part gpu.View, rows TaskGrads, root Tensor, p gramPlan, slots int) {
	full := p.m / gramBlock
	from := func(i, j int) gpu.View { return rows.slice(i*gramBlock, min(j*gramBlock, p.m)).View() }
	e.gramDiagonal(part, from(0, full), rows, root, p, 0, full, slots)
	if full > 1 {
		e.gramCross(part, from(0, full-1), from(1, full), rows, root, p, 1, full*(full-1)/2, slots)
	}
	if full < p.blocks() {
		e.gramCross(part, from(0, full), from(full, full+1), rows, root, p, full, full, slots)
		before := (full*(full+1)/2*gramBlock*gramBlock + full*p.pairs(0, 0)) * slots
		e.gramDiagonal(after(part, F32, before), p.view(rows, full), rows, root, p, full, 1, slots)
	}
}

// gramBlock sums block (i, j) of G, j ≤ i, into part (pairs, slots).
func (e *Engine) gramBlock(part gpu.View, rows TaskGrads, root Tensor, p gramPlan, i, j, slots int) {
	a, b := p.view(rows, i), p.view(rows, j)
	switch {
	case p.tile:
		n, height, width := rows.R*rows.LD, p.rows(i), p.rows(j)
		weights, consts := e.gramConsts(root, height)
		consts["HEIGHT"], consts["ROWS"], consts["STEPS"] = strconv.Itoa(height), strconv.Itoa(width), strconv.Itoa(e.strip(p, n))
		if i == j {
			consts["SAME"] = "1"
		}
		e.run(call{kernel: "gram_tile", params: gramParams{vec4s(n), vec4s(rows.Stride), uint32(slots)}, consts: consts,
			binds: []gpu.View{a, b, weights, part}, groups: grid(slots), work: e.gramWork(rows, p, i, j)})
	case i != j:
		e.gramCross(part, b, a, rows, root, p, i, 0, slots)
	default:
		e.gramDiagonal(part, a, rows, root, p, i, 1, slots)
	}
}

// gramDiagonal sums the blocks (i, i) to (i+blocks-1, i+blocks-1), whose first row is a's first, with part's
// first sums for block (i, i).
func (e *Engine) gramDiagonal(part, a gpu.View, rows TaskGrads, root Tensor, p gramPlan, i, blocks, slots int) {
	n := rows.R * rows.LD
	weights, consts := e.gramConsts(root, p.rows(i))
	e.run(call{kernel: "gram", params: gramParams{vec4s(n), vec4s(rows.Stride), uint32(slots)}, consts: e.gramStrip(consts, p, n),
		binds: []gpu.View{a, weights, part}, groups: e.gramGroups(slots, blocks), work: int64(blocks) * e.gramWork(rows, p, i, i)})
}

// gramCross sums the blocks (i, 0), (i, 1) to (i, i-1), (i+1, 0) and so on, so many of them: a are the rows from
// block 0 on, b those from block i on. With blocks = 0 it sums one block, of the rows b by the rows a, and part has its
// sums only. Block row i may be short, and is the only one then.
func (e *Engine) gramCross(part, a, b gpu.View, rows TaskGrads, root Tensor, p gramPlan, i, blocks, slots int) {
	n, first := rows.R*rows.LD, i
	if blocks == 0 {
		first, blocks = 0, 1
	}
	weights, consts := e.gramConsts(root, p.rows(i))
	consts["HEIGHT"] = strconv.Itoa(p.h) // block columns below the diagonal are full
	e.run(call{kernel: "gram_cross", params: gramCrossParams{vec4s(n), vec4s(rows.Stride), uint32(slots), uint32(first)},
		consts: e.gramStrip(consts, p, n), binds: []gpu.View{a, b, weights, part}, groups: e.gramGroups(slots, blocks),
		work: int64(blocks) * e.gramWork(rows, p, i, 0)})
}

// gramConsts are the weights' binding and the constants that all kernels of G have.
func (e *Engine) gramConsts(root Tensor, height int) (gpu.View, map[string]string) {
	consts := map[string]string{"ROWS": strconv.Itoa(height)}
	if root.Buf == nil {
		return e.tune.placeholder(), consts
	}
	consts["WEIGHTED"] = "1"
	return root.View(), consts
}

// gramStrip adds the constants of gram and gram_cross.
func (e *Engine) gramStrip(consts map[string]string, p gramPlan, n int) map[string]string {
	consts["STRIP"] = strconv.Itoa(e.strip(p, n))
	consts["WG"] = strconv.Itoa(e.gramGroup())
	return consts
}

// gramGroup is the size of a workgroup: small ones keep all cores of a CPU rasterizer busy with short rows.
func (e *Engine) gramGroup() int {
	if e.cpu {
		return 8
	}
	return 64
}

func (e *Engine) gramGroups(slots, blocks int) [3]int {
	g := grid(slots / e.gramGroup())
	g[2] = blocks
	return g
}

// gramWork is the work of block (i, j).
func (e *Engine) gramWork(rows TaskGrads, p gramPlan, i, j int) int64 {
	n := rows.R * rows.LD
	return e.moving(f32Bytes(n)*int64(p.rows(i)+p.rows(j)), int64(n)*int64(p.pairs(i, j))*2)
}

// view binds the rows of block i only.
func (p gramPlan) view(rows TaskGrads, i int) gpu.View {
	return rows.slice(i*p.h, i*p.h+p.rows(i)).View()
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
	out := make([]float64, g.plan.m*g.plan.m)
	addGram(out, b, g.plan)
	return out, nil
}

// addGram adds the Gram whose partial sums by plan p are b to out.
func addGram(out []float64, b []byte, p gramPlan) {
	total, _ := p.total()
	size := len(b) / total // bytes of partial sums of one pair
	for i := range p.blocks() {
		for j := range i + 1 {
			for k := range p.pairs(i, j) {
				if r, c := p.at(i, j, k); r < p.m {
					v := sumFloats(b[:size])
					out[r*p.m+c] += v
					if r != c {
						out[c*p.m+r] += v
					}
				}
				b = b[size:]
			}
		}
	}
}

func alignUp(n, a int) int { return (n + a - 1) / a * a }

// sumFloats adds little-endian float32 values in float64.
func sumFloats(b []byte) float64 {
	var sum float64
	for i := 0; i+4 <= len(b); i += 4 {
		sum += float64(math.Float32frombits(binary.LittleEndian.Uint32(b[i:])))
	}
	return sum
}
