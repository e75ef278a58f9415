package config

// lowMemory refuses what weights and moments of fewer bits cannot be together with.
func (c *Config) lowMemory() error {
	packedWeights, packedMoments := c.Model.Dtype == BF16, c.Optim.Moments == MomentsBF16 || c.Optim.Moments == MomentsInt8
	switch {
	case packedWeights && c.Clustered():
		return c.fail("model.dtype", `dtype = ""`, "weights travel between machines as f32, and every machine holds them so")
	case packedMoments && c.Clustered():
		return c.fail("optim.moments", `moments = ""  # or sync = "parameters" in [cluster]: each machine then keeps a part of them`, "moments travel between machines as f32, and every machine holds them so")
	case packedMoments && c.Objective.Metric == MetricAdam:
		return c.fail("optim.moments", `moments = ""`, `objective.metric = "adam" weighs gradients by second moments of f32`)
	case packedWeights && c.Probe.Every > 0:
		return c.fail("probe.every", "every = 0  # in [probe]", "a probe moves the weights by parts of a step, which bf16 cannot hold")
	}
	return nil
}
