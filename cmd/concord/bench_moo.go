package main

import (
	"fmt"
	"io"
	"os"

	"concord/internal/bench"
	"concord/internal/config"
	"concord/internal/train"
)

type benchMooCmd struct {
	RunFile string `arg:"" optional:"" default:"examples/names8/run.toml" help:"Run file (TOML); default: examples/names8/run.toml."`
	overrides
	Methods    []string `default:"mean,pcgrad,mgda,cagrad,upgrad" help:"Methods to compare; ratios are to the first." placeholder:"NAME"`
	Baseline   string   `default:"pcgrad" help:"${benchmoo_baseline}" placeholder:"NAME"`
	Objectives int      `help:"Languages: the run file's are cut or repeated; default: as they are." placeholder:"M"`
	Model      string   `help:"Another model folder than the run file's." type:"path"`
	Steps      int      `default:"8" help:"Steps to measure of each."`
	Warmup     int      `default:"2" help:"Steps before, not measured."`
	Profile    bool     `help:"Also seconds by phase of a step; slows the steps down where the device has no timestamps."`
	JSON       bool     `help:"Print as JSON."`
}

func (c *benchMooCmd) Run() error {
	over := c.Override
	if c.Model != "" {
		over = append(over, "model.path="+c.Model)
	}
	cfg, err := config.Load(c.RunFile, over)
	if err != nil {
		return err
	}
	r, err := bench.Moo(train.Vary(cfg), bench.MooOptions{Objectives: c.Objectives, Baseline: c.Baseline,
		StepOptions: bench.StepOptions{Methods: c.Methods, Steps: c.Steps, Warmup: c.Warmup, Profile: c.Profile, Warn: os.Stderr}})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(r)
	}
	return printMoo(r)
}

// cpuText is a ratio of CPU seconds, if it was measured.
func cpuText(ratio float64) string {
	if ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3fx", ratio)
}

// printMoo prints the price of every method, and below it the parts of a step's
// memory.
func printMoo(r *bench.StepResult) error {
	printBenchMachine(r.Machine)
	fmt.Printf("%s, scope %s, %d tokens a step; %d steps of each in turns after %d to warm up\n", r.RunFile, r.Scope, r.Tokens,
		r.Steps, r.Warmup)
	err := table(func(w io.Writer) {
		fmt.Fprintf(w, "\ts/step\ttime / %[1]s\tpaired\tCPU paired\tpeak MiB\tmemory / %[1]s\tMiB touched\ttouched / %[1]s\t\n", r.Order[0])
		for _, name := range r.Order {
			m := r.Methods[name]
			q, ok := r.Ratios[name+"/"+r.Order[0]]
			if !ok {
				q = bench.StepRatio{Time: 1, TimePaired: 1, CPUPaired: 1, Memory: 1, Touched: 1}
			}
			fmt.Fprintf(w, "%s\t%.3f\t%.3fx\t%.3fx\t%s\t%.1f\t%.3fx\t%.1f\t%.3fx\t\n", name, m.StepSecondsMedian, q.Time, q.TimePaired,
				cpuText(q.CPUPaired),
				float64(m.PeakBytes)/(1<<20), q.Memory, float64(m.TouchedBytes)/(1<<20), q.Touched)
		}
	})
	if err != nil {
		return err
	}
	return printBreakdowns(r)
}
