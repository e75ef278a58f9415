package config

// lowMemory refuses the settings that weights and moments of fewer bits exclude.
func (c *Config) lowMemory() error {
	packedWeights, packedMoments := c.Model.Dtype == BF16, c.Optim.Moments == MomentsBF16 || c.Optim.Moments == MomentsInt8
	if err := c.adafactor(); err != nil {
		return err
	}
	switch {
	case c.Optim.InBackward && c.Sharded():
		return c.fail("optim.in_backward", `in_backward = false  # or sync = "gradients" in [cluster]`,
			"with sync = \"parameters\" owners update when all norms are known and have sent the weights before the step is committed")
	case c.Optim.InBackward && c.OuterSteps() > 0:
		return c.fail("optim.in_backward", "in_backward = false  # or outer = 0 in [cluster]",
			"the changes of cluster.outer steps are resolved as whole gradients")
	case c.Optim.InBackward && c.Batch.Accumulate > 1:
		return c.fail("batch.accumulate", "accumulate = 1  # and more rows, or in_backward = false in [optim]",
			"optim.in_backward applies a gradient before the next micro-batch's is there")
	case packedMoments && c.Objective.Metric == MetricAdam:
		return c.fail("optim.moments", `moments = ""`, `objective.metric = "adam" weighs gradients by second moments of f32`)
	case packedWeights && c.Probe.Every > 0:
		return c.fail("probe.every", "every = 0  # in [probe]", "a probe moves the weights by parts of a step, which bf16 cannot hold")
	}
	return nil
}

// adafactor refuses the settings that need an optimizer with moments of AdamW's form.
func (c *Config) adafactor() error {
	if c.Optim.Name != Adafactor {
		return nil
	}
	_, given := c.origins["optim.betas"]
	switch {
	case c.Optim.Moments != "":
		return c.fail("optim.moments", `moments = ""`, "adafactor has no moments to be stored in fewer bits: a value for each row and column")
	case c.Objective.Metric == MetricAdam:
		return c.fail("objective.metric", `metric = "euclidean"`, "the metric is that of AdamW, not of adafactor")
	case given && c.Optim.Betas[0] != 0:
		return c.fail("optim.betas", "betas = [0.0, 0.999]", "adafactor has no first moment, %v has no effect", c.Optim.Betas[0])
	}
	return nil
}
