package step

import (
	"concord/bucket"
	"concord/internal/objective"
	"concord/internal/param"
	"concord/tensor"
)

// ghost picks the parameters whose Gram is computed from activations instead
// of rows; nil means none.
func (r *Replica) ghost() func(bucket.Param) bool {
	o, set := r.Objective, r.Settings
	rows := o.Shared() || o.Static() || o.Elementwise() || set.Objective.Gram == objective.GramRows || set.Objective.AdamMetric
	if rows || set.Accumulate > 1 || set.Rows*set.SeqLen > tensor.GhostTokens {
		return nil
	}
	return func(p bucket.Param) bool {
		return p.Kind == param.Linear && !p.Shared() && (set.Objective.Gram == objective.GramGhost || r.ghostPays(p))
	}
}

// ghostPays says that p's Gram costs less without rows, or that its rows fit no
// buffer: the few tokens of a step against the width of the layer and the number
// of languages.
func (r *Replica) ghostPays(p bucket.Param) bool {
	m := r.Objective.Segments()
	if rows := int64(m) * int64(p.Extent()) * 4; rows > r.Engine.Dev.Info().Limits.MaxBufferSize {
		return true
	}
	ghost, rows := tensor.GhostCost(r.Settings.Rows*r.Settings.SeqLen, p.R, p.C, m)
	return ghost.FLOPs+r.flopsPerByte()*ghost.Bytes < rows.FLOPs+r.flopsPerByte()*rows.Bytes
}

// flopsPerByte is how many float operations of a product a device does in the
// time that a byte of memory traffic takes: about 3 on a rasterizer (20 GFLOP/s,
// 6 GB/s, docs/bench), 10 or so on GPUs.
func (r *Replica) flopsPerByte() float64 {
	if r.Engine.CPU() {
		return 3
	}
	return 10
}

// adamMetric is the metric of the update being made.
func (r *Replica) adamMetric() tensor.AdamMetric {
	c := r.Settings.Optim
	m := tensor.AdamMetric{Beta2: c.Beta2, Eps: c.Eps, Step: r.Adam.Steps() + 1, GradScale: 1}
	if r.Clip > 0 {
		m.GradScale = r.Clip
	}
	for _, u := range r.Objective.Mean() {
		m.Mean = append(m.Mean, float32(u))
		if r.Settings.Objective.Noise.Halves {
			m.Mean = append(m.Mean, float32(u))
		}
	}
	return m
}
