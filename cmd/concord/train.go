package main

import (
	"encoding/json"
	"os"

	"concord/internal/config"
	"concord/internal/train"
)

// overrides is the -o flag of every verb that takes a run file.
type overrides struct {
	Override []string `short:"o" name:"override" sep:"none" placeholder:"SECTION.KEY=VALUE" help:"Override a setting of the run file; repeatable."`
}

type trainCmd struct {
	RunFile string `arg:"" help:"Run file (TOML)."`
	overrides
	JSON bool `help:"Print the closing table as JSON instead of text."`
}

func (c *trainCmd) Run() error {
	cfg, err := config.Load(c.RunFile, c.Override)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	sum, err := train.Run(ctx, cfg, screen(c.JSON))
	if err != nil {
		return err
	}
	return printSummary(sum, c.JSON)
}

type resumeCmd struct {
	Dir string `arg:"" help:"The run's folder (runs/NAME)."`
	overrides
	JSON bool `help:"Print the closing table as JSON instead of text."`
}

func (c *resumeCmd) Run() error {
	ctx, stop := interruptible()
	defer stop()
	sum, err := train.Resume(ctx, c.Dir, c.Override, screen(c.JSON))
	if err != nil {
		return err
	}
	return printSummary(sum, c.JSON)
}

func printSummary(sum *train.Summary, asJSON bool) error {
	if !asJSON {
		return nil
	}
	return printJSON(sum)
}

func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
