package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"concord/internal/compare"
	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/train"
)

type compareCmd struct {
	RunFile string `arg:"" help:"Run file (TOML)."`
	overrides
	Methods      []string  `default:"mean,pcgrad,mgda" help:"Methods to compare; mean is always among them. all: every one." placeholder:"NAME"`
	Scopes       []string  `help:"Scopes of the methods that resolve gradients; default: the run file's." placeholder:"SCOPE"`
	StaticSweep  bool      `help:"Also tune static weights: the baseline that a method has to beat."`
	StaticBudget int       `help:"Weight vectors that the sweep tries; more than its own list are drawn at random." placeholder:"N"`
	Temperatures []float64 `help:"Also tune data.temperature with method mean." placeholder:"T"`
	LRs          []float64 `name:"lrs" help:"Peak learning rates to tune every configuration over; default: the run file's." placeholder:"LR"`
	Seeds        int       `default:"3" help:"Seeds of every configuration, from the run file's on."`
	TuneSeeds    int       `help:"Tune on the first N seeds, and run only what they choose under the others; default: everything under every seed." placeholder:"N"`
	Out          string    `help:"The comparison's folder; default: RUN.DIR/NAME-compare. The same command continues there; a larger grid extends it." placeholder:"DIR"`
	Jobs         int       `default:"1" help:"Runs at one time. More than one make the times worthless."`
	KeepModels   bool      `help:"Keep every run's model."`
	JSON         bool      `help:"Print the report as JSON instead of text."`
}

func (c *compareCmd) Run() error {
	cfg, err := config.Load(c.RunFile, c.Override)
	if err != nil {
		return err
	}
	if c.Jobs < 1 || c.Jobs > 64 {
		return usagef("--jobs %d is outside 1 … 64", c.Jobs)
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{cfg.Objective.Scope}
	}
	if c.Out == "" {
		c.Out = cfg.OutDir() + "-compare"
	}
	ctx, stop := interruptible(stoppingRun + "; the same command continues")
	defer stop()
	rep, err := compare.Run(ctx, compare.Options{RunFile: c.RunFile, Overrides: c.Override, Out: c.Out, Jobs: c.Jobs, KeepModels: c.KeepModels, Command: report.Command(os.Args[1:]...),
		Grid: compare.Grid{Methods: c.Methods, Scopes: c.Scopes, LRs: c.LRs, Temperatures: c.Temperatures, StaticSweep: c.StaticSweep, StaticBudget: c.StaticBudget, Seeds: c.Seeds, TuneSeeds: c.TuneSeeds}}, screen(c.JSON))
	if usage := (*compare.UsageError)(nil); errors.As(err, &usage) {
		return usagef("%v", err)
	}
	if errors.Is(err, train.ErrInterrupted) {
		return fmt.Errorf("%w:\n  %s\n  what there is so far: %s", err, report.Command(os.Args[1:]...), filepath.Join(c.Out, "report.md"))
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(rep)
	}
	fmt.Println()
	for _, v := range rep.Verdict {
		fmt.Println(" " + v)
	}
	fmt.Printf("\n report in %s (also .html, .csv, .json)\n", filepath.Join(c.Out, "report.md"))
	return nil
}
