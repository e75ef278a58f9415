package tensor

import (
	"fmt"

	"concord/gpu"
)

// GramSum is the sum of the Grams of several parameters' rows, brought to the
// host in one read: Add each of them, then Start, then Wait.
type GramSum struct {
	e     *Engine
	m     int
	to    GramSums
	at    int64 // bytes used of to
	parts []gramPart
	read  *gpu.Readback
}

// gramPart is the partial sums of one Gram.
type gramPart struct {
	bytes int64    // up to the next part
	sums  int64    // bytes of it that are sums
	plan  gramPlan // of no rows: of a ghost Gram, see ghost.go
}

// GramSums is the memory of the partial sums of one GramSum at a time: one that
// is being collected, as the device runs in order.
type GramSums struct{ t Tensor }

// NewGramSums allocates bytes, which GramSumBytes and GhostSums add up to.
func (e *Engine) NewGramSums(bytes int64) GramSums {
	return GramSums{e.New(gpu.RoleScratch, "gram sums", 1, int(max(F32.Elements(bytes), vec4)))}
}

// GramSumBytes is the memory that the Gram of m rows of n elements takes of a GramSums.
func (e *Engine) GramSumBytes(m, n int) (bytes int64) {
	rows := lengths(m, n)
	for _, c := range e.flatCuts(n, blockUnit) {
		n := c[1] - c[0]
		p := e.gramPlan(rows.columns(0, F32.LD(n))) // as far apart as the whole rows
		total, _ := p.total()
		_, last := p.folded(e.slots(p, n))
		bytes += int64(alignUp(int(f32Bytes(total*last)), bindAlign))
	}
	return bytes
}

// Release frees the memory.
func (s GramSums) Release() { s.t.Buf.Release() }

// NewGramSum begins a sum of Grams of m rows in to.
func (e *Engine) NewGramSum(m int, to GramSums) *GramSum { return &GramSum{e: e, m: m, to: to} }

// Add adds the Gram of rows, as Gram computes it. s is scratch for one Gram of such rows,
// or of BindingElements values if they are longer.
func (g *GramSum) Add(rows TaskGrads, s GramScratch) {
	rows = rows.vectors()
	for _, c := range g.e.flatCuts(rows.LD, blockUnit) {
		part := rows.columns(c[0], c[1])
		p := g.e.gramPlan(part)
		g.addRows(p, g.e.gramRecord(part, g.place(s), p, Tensor{}))
	}
}

// addRows counts the sums of rows; the next part begins where it can be bound.
func (g *GramSum) addRows(p gramPlan, sums gpu.View) {
	g.add(gramPart{int64(alignUp(int(sums.Size), bindAlign)), sums.Size, p})
}

// add counts a part that has been recorded after the others.
func (g *GramSum) add(p gramPart) { g.parts, g.at = append(g.parts, p), g.at+p.bytes }

// place is s with the rest of g's memory for its sums.
func (g *GramSum) place(s GramScratch) GramScratch {
	s.out = g.to.t
	s.out.Offset += g.at
	s.out.LD -= int(F32.Elements(g.at))
	s.out.C = s.out.LD
	return s
}

// Start begins the read. g's memory may be used for another sum afterwards.
func (g *GramSum) Start() { g.read = g.e.Dev.Read(gpu.View{Buf: g.to.t.Buf, Size: g.at}) }

// Wait returns the sum as M*M values in row-major order, both triangles filled.
func (g *GramSum) Wait() ([]float64, error) {
	out := make([]float64, g.m*g.m)
	if g.at == 0 {
		return out, nil
	}
	b, err := g.read.Wait()
	if err != nil {
		return nil, fmt.Errorf("tensor: gram: %w", err)
	}
	for _, p := range g.parts {
		if p.plan.m == 0 {
			addGhost(out, b[:p.bytes], g.m)
		} else {
			addGram(out, b[:p.sums], p.plan)
		}
		b = b[p.bytes:]
	}
	return out, nil
}
