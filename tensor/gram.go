package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"concord/gpu"
)

type gramParams struct{ N4, Stride4, Slots uint32 }
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

// gramBlock sums block (i, j) of G, j ≤ i, into part (pairs, slots).
func (e *Engine) gramBlock(part gpu.View, rows TaskGrads, root Tensor, p gramPlan, i, j, slots int) {
	n := rows.R * rows.LD
	height, width := p.rows(i), p.rows(j)
	consts := map[string]string{"ROWS": strconv.Itoa(height)}
	weights := e.tune.placeholder()
	if root.Buf != nil {
		weights, consts["WEIGHTED"] = root.View(), "1"
	}
	a, b := p.view(rows, i), p.view(rows, j)
	c := call{kernel: "gram", params: gramParams{vec4s(n), vec4s(rows.Stride), uint32(slots)}, consts: consts,
		work: e.moving(f32Bytes(n)*int64(height+width), int64(n)*int64(p.pairs(i, j))*2)}
	switch {
	case p.tile:
		c.kernel, c.binds, c.groups = "gram_tile", []gpu.View{a, b, weights, part}, grid(slots)
		consts["HEIGHT"], consts["ROWS"], consts["STEPS"] = strconv.Itoa(height), strconv.Itoa(width), strconv.Itoa(e.strip(p, n))
		if i == j {
			consts["SAME"] = "1"
		}
	case i != j: // block j is full, block i may be short
		c.kernel, c.binds, c.groups = "gram_cross", []gpu.View{b, a, weights, part}, grid(slots/64)
		consts["HEIGHT"], consts["STRIP"] = strconv.Itoa(width), strconv.Itoa(e.strip(p, n))
	default:
		c.binds, c.groups = []gpu.View{a, weights, part}, grid(slots/64)
		consts["STRIP"] = strconv.Itoa(e.strip(p, n))
	}
	e.run(c)
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
