package tensor

import (
	"fmt"
	"math"

	"concord/gpu"
)

// AdamMetric is the metric of AdamW's preconditioner in one update: inner
// products ⟨g, D h⟩ with D = 1/(√v̂ + ε). v̂ is the second moment as the update will
// have it, predicted with the mean gradient ḡ = Σ u_m g_m in place of the combined
// one, which is not known before the solve:
// v̂ = (β2 v + (1−β2)(s ḡ)²)/(1−β2^t).
//
// Resolving conflicts in this metric makes non-conflict survive the optimizer:
// G^D w ≥ 0 says ⟨g_m, D d⟩ ≥ 0, that the preconditioned step (before momentum)
// harms no objective, where ⟨g_m, d⟩ ≥ 0 says nothing about it.
type AdamMetric struct {
	Beta2, Eps float64
	Step       int64     // t ≥ 1, the update being made
	Mean       []float32 // u, one per row
	GradScale  float64   // s, the factor that clipping is expected to apply; 1 for none
}

type adamRootParams struct {
	N4                            uint32
	Beta2, Fresh, Correction, Eps float32
}

// NewGramAdamScratch is NewGramScratch for Grams in an AdamMetric.
func (e *Engine) NewGramAdamScratch(m, n int) GramScratch {
	s := e.NewGramScratch(m, n)
	s.root = e.New(gpu.RoleScratch, "preconditioner", 1, n)
	return s
}

// AddAdam adds the Gram of rows, vectors of n values, in the metric: v (1, n) is
// their second moment before the update. A row with NaN or infinite values gives
// non-finite entries in its row and column only; the others' leave these values out. s is from NewGramAdamScratch.
func (g *GramSum) AddAdam(rows TaskGrads, v Tensor, metric AdamMetric, s GramScratch) {
	n := rows.R * rows.LD
	if rows.R != 1 || v.R*v.LD != n || s.root.LD < min(n, g.e.BindingElements()) || len(metric.Mean) != rows.M || metric.Step < 1 {
		panic(fmt.Sprintf("tensor: gram in Adam's metric: %d rows (%d,%d), v %v, %d means, step %d, scratch %v", rows.M, rows.R, rows.C,
			v, len(metric.Mean), metric.Step, s.root))
	}
	e := g.e
	for _, c := range e.flatCuts(n, blockUnit) {
		part := rows.columns(c[0], c[1])
		root := Tensor{Buf: s.root.Buf, R: 1, C: part.C, LD: part.LD}
		e.adamRoot(root, part, span(v, c[0], c[1]), metric)
		p := e.gramPlan(part)
		g.addRows(p, e.gramRecord(part, g.place(s), p, root))
	}
}

// adamRoot writes √D to root.
func (e *Engine) adamRoot(root Tensor, rows TaskGrads, v Tensor, m AdamMetric) {
	e.Combine(root, rows, m.Mean, false)
	n4 := int(vec4s(root.LD))
	e.run(call{kernel: "adam_root",
		params: adamRootParams{N4: uint32(n4), Beta2: float32(m.Beta2), Fresh: float32((1 - m.Beta2) * m.GradScale * m.GradScale),
			Correction: float32(1 / (1 - math.Pow(m.Beta2, float64(m.Step)))), Eps: float32(m.Eps)},
		binds: []gpu.View{v.View(), root.View()}, groups: grid(ceilDiv(n4, 64)), work: e.moving(int64(n4)*48, int64(n4)*60)})
}
