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
	Methods      []string  `default:"mean,pcgrad,mgda" help:"${compare_methods}" placeholder:"NAME"`
	Scopes       []string  `help:"Scopes of the methods that resolve gradients; default: the run file's." placeholder:"SCOPE"`
	Controls     []string  `help:"${compare_controls}" placeholder:"CONTROL"`
	Options      []string  `help:"More candidates of a method, e.g. cagrad.c=0.2." placeholder:"METHOD.KEY=VALUE"`
	StaticSweep  bool      `help:"Also tune static weights: a stronger baseline."`
	StaticBudget int       `help:"Candidates of the sweep; default: as many as a method has." placeholder:"N"`
	Temperatures []float64 `help:"Sampling temperatures to tune every configuration over; default: the run file's." placeholder:"T"`
	LRs          []float64 `name:"lrs" help:"${compare_lrs}" placeholder:"LR"`
	IID          bool      `name:"iid" help:"${compare_iid}"`
	Alone        bool      `help:"Also train each language by itself on as many tokens of it: does the mixture help or hurt it?"`
	TuneSeeds    int       `default:"1" help:"${compare_tuneseeds}" placeholder:"N"`
	Seeds        int       `default:"3" help:"Seeds that judge what was chosen, after those." placeholder:"N"`
	Margin       float64   `default:"0.005" help:"Bits per byte below which a difference does not matter." placeholder:"BITS"`
	Out          string    `help:"${compare_out}" placeholder:"DIR"`
	Results      string    `help:"${compare_results}" placeholder:"FILE"`
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
	scopes := []train.Scope{}
	for _, text := range c.Scopes {
		s, err := config.ParseScope(text)
		if err != nil {
			return usagef("--scopes: %v", err)
		}
		scopes = append(scopes, train.Scope(s.String()))
	}
	run := train.Vary(cfg)
	if len(scopes) == 0 {
		scopes = append(scopes, run.Objective.Scope)
	}
	if c.Out == "" {
		c.Out = run.Folder() + "-compare"
	}
	ctx, stop := interruptible(stoppingRun + "; the same command continues")
	defer stop()
	rep, err := compare.Run(ctx, compare.Options{Run: run, Out: c.Out, Jobs: c.Jobs,
		KeepModels: c.KeepModels, Results: c.Results, Command: report.Command(os.Args[1:]...),
		Grid: compare.Grid{Methods: c.Methods, Scopes: scopes, Controls: c.Controls, Options: c.Options, LRs: c.LRs,
			Temperatures: c.Temperatures, StaticSweep: c.StaticSweep, StaticBudget: c.StaticBudget,
			IID: c.IID, Alone: c.Alone, Seeds: c.Seeds, TuneSeeds: c.TuneSeeds, Margin: c.Margin}}, screen(c.JSON))
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
