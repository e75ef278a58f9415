package main

import (
	"os"

	"concord/gpu"
	"concord/internal/bench"
	"concord/internal/config"
	"concord/internal/train"
)

type benchCmd struct {
	GEMM benchGEMMCmd `cmd:"" name:"gemm" help:"Matrix products: GFLOP/s of every kernel variant and of the one that is chosen."`
	Gram benchGramCmd `cmd:"" help:"Gram and combine: GB/s next to a copy of the same rows."`
	Moo  benchMooCmd  `cmd:"" help:"The price of every method of resolving conflicts, next to a plain step and to what others do."`
	Step benchStepCmd `cmd:"" help:"Whole training steps of several methods, in turns on the same batches."`
}

type benchGEMMCmd struct {
	Sizes  []string `help:"Sizes to measure, each 512 (a cube) or MxNxK; default: cubes and the products of two models." placeholder:"SIZE"`
	Rounds int      `default:"5" help:"Timings of each variant; the median counts."`
	JSON   bool     `help:"Print as JSON."`
	deviceFlags
}

func (c *benchGEMMCmd) Run() error {
	shapes := bench.DefaultShapes()
	if len(c.Sizes) > 0 {
		var err error
		if shapes, err = bench.ParseShapes(c.Sizes); err != nil {
			return usagef("--sizes: %v", err)
		}
	}
	if c.Rounds < 1 {
		return usagef("--rounds: at least 1 is needed")
	}
	dev, err := c.open()
	if err != nil {
		return err
	}
	defer dev.Close()
	r, err := bench.GEMM(dev, shapes, c.Rounds, "")
	if err != nil {
		return train.DeviceError(err)
	}
	if c.JSON {
		return printJSON(r)
	}
	return printGEMM(r)
}

type benchGramCmd struct {
	Objectives []int `help:"Numbers of languages to measure." default:"2,8,16,64" placeholder:"M"`
	Sizes      []int `help:"Elements per bucket to measure; default: a layer of the demo model, 1 Mi and 4 Mi." placeholder:"N"`
	Rounds     int   `default:"5" help:"Timings of each; the median counts."`
	JSON       bool  `help:"Print as JSON."`
	deviceFlags
}

func (c *benchGramCmd) Run() error {
	sizes := c.Sizes
	if len(sizes) == 0 {
		sizes = bench.DefaultSizes
	}
	for _, m := range c.Objectives {
		if m < 1 || m > 64 {
			return usagef("--objectives: %d is outside 1 … 64", m)
		}
	}
	for _, n := range sizes {
		if n < 1 || n > 1<<28 {
			return usagef("--sizes: %d is outside 1 … %d", n, 1<<28)
		}
	}
	if c.Rounds < 1 {
		return usagef("--rounds: at least 1 is needed")
	}
	dev, err := c.open()
	if err != nil {
		return err
	}
	defer dev.Close()
	r, err := bench.Gram(dev, c.Objectives, sizes, c.Rounds)
	if err != nil {
		return train.DeviceError(err)
	}
	if c.JSON {
		return printJSON(r)
	}
	return printGram(r)
}

// open opens the adapter that the flags name. The tables name it.
func (d deviceFlags) open() (*gpu.Device, error) {
	o, err := d.adapter("")
	if err != nil {
		return nil, err
	}
	dev, err := gpu.Open(o)
	return dev, train.DeviceError(err)
}

type benchStepCmd struct {
	RunFile string `arg:"" optional:"" default:"examples/names8/run.toml" help:"Run file (TOML); default: examples/names8/run.toml."`
	overrides
	Methods []string `default:"mean,pcgrad" help:"Methods to compare; ratios are to the first." placeholder:"NAME"`
	Steps   int      `default:"12" help:"Steps to measure of each method."`
	Warmup  int      `default:"2" help:"Steps before, not measured."`
	Profile bool     `help:"Also seconds by phase of a step; slows the steps down where the device has no timestamps."`
	JSON    bool     `help:"Print as JSON."`
}

func (c *benchStepCmd) Run() error {
	cfg, err := config.Load(c.RunFile, c.Override)
	if err != nil {
		return err
	}
	r, err := bench.Step(train.Vary(cfg), bench.StepOptions{Methods: c.Methods, Steps: c.Steps, Warmup: c.Warmup, Profile: c.Profile,
		Warn: os.Stderr})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(r)
	}
	return printSteps(r)
}
