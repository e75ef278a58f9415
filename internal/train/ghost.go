package train

import (
	"concord/bucket"
	"concord/internal/param"
	"concord/tensor"
)

// ghost says of which parameters the Gram is computed from activations instead
// of rows; nil means none.
func (t *Trainer) ghost() func(bucket.Param) bool {
	o := t.cfg.Objective
	if t.objective.Shared() || t.objective.Static() || o.Gram == "rows" || o.Metric == "adam" || t.cfg.Batch.Accumulate > 1 || t.objective.Elementwise() || t.cfg.Batch.Rows*t.cfg.Batch.SeqLen > tensor.GhostTokens {
		return nil
	}
	return func(p bucket.Param) bool { return p.Kind == param.Linear && (o.Gram == "ghost" || t.ghostPays(p)) }
}

// ghostPays says that p's Gram costs less without rows, or that its rows fit no
// buffer: the few tokens of a step against the width of the layer and the number
// of languages.
func (t *Trainer) ghostPays(p bucket.Param) bool {
	m := t.objective.Segments()
	if rows := int64(m) * int64(p.Extent()) * 4; rows > t.engine.Dev.Info().Limits.MaxBufferSize {
		return true
	}
	ghost, rows := tensor.GhostCost(t.cfg.Batch.Rows*t.cfg.Batch.SeqLen, p.R, p.C, m)
	return ghost.FLOPs+t.flopsPerByte()*ghost.Bytes < rows.FLOPs+t.flopsPerByte()*rows.Bytes
}

// flopsPerByte is how many float operations of a product a device does in the
// time that a byte of memory traffic takes: about 3 on a rasterizer (20 GFLOP/s,
// 6 GB/s, docs/bench), 10 or so on GPUs.
func (t *Trainer) flopsPerByte() float64 {
	if t.engine.CPU() {
		return 3
	}
	return 10
}

// adamMetric is the metric of the update being made.
func (t *Trainer) adamMetric() tensor.AdamMetric {
	c := t.cfg.Optim
	m := tensor.AdamMetric{Beta2: c.Betas[1], Eps: c.Eps, Step: t.adam.Steps() + 1, GradScale: 1}
	if t.clip > 0 {
		m.GradScale = t.clip
	}
	for _, u := range t.objective.Mean() {
		m.Mean = append(m.Mean, float32(u))
		if t.cfg.Objective.Noise.Halves {
			m.Mean = append(m.Mean, float32(u))
		}
	}
	return m
}
