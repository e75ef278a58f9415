package train

import (
	"strings"

	"concord/bucket"
	"concord/tensor"
)

// ghost says of which parameters the Gram is computed from activations instead
// of rows; nil means none.
func (t *Trainer) ghost() func(bucket.Param) bool {
	o := t.cfg.Objective
	if t.objective.folded() || o.Gram == "rows" || o.Metric == "adam" || t.cfg.Batch.Accumulate > 1 {
		return nil
	}
	return func(p bucket.Param) bool { return isLinear(p) && o.Gram == "ghost" }
}

// isLinear says that p is the weight of a layer's linear map, whose gradient is
// recorded by Gradients.Linear.
func isLinear(p bucket.Param) bool { return p.R > 1 && strings.Contains(p.Name, ".layers.") }

// adamMetric is the metric of the update being made.
func (t *Trainer) adamMetric() tensor.AdamMetric {
	c := t.cfg.Optim
	m := tensor.AdamMetric{Beta2: c.Betas[1], Eps: c.Eps, Step: t.adam.Steps() + 1, GradScale: 1}
	if t.clip > 0 {
		m.GradScale = t.clip
	}
	for _, u := range t.objective.spread(t.objective.normalised(t.objective.preference)) {
		m.Mean = append(m.Mean, float32(u))
		if t.cfg.Objective.Noise.Halves {
			m.Mean = append(m.Mean, float32(u))
		}
	}
	return m
}
