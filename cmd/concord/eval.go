package main

import (
	"fmt"

	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/train"
)

type evalCmd struct {
	RunFile string `arg:"" help:"Run file (TOML): its held-out data."`
	overrides
	Model   string `help:"Model folder or run folder to measure; default: the run file's base model." placeholder:"DIR"`
	Compare string `help:"Second model folder or run folder: print both and the change." placeholder:"DIR"`
	JSON    bool   `help:"Print as JSON."`
}

func (c *evalCmd) Run() error {
	cfg, err := config.Load(c.RunFile, c.Override)
	if err != nil {
		return err
	}
	ctx, stop := interruptible()
	defer stop()
	first, err := train.Evaluate(ctx, cfg, c.Model, screen(c.JSON))
	if err != nil {
		return err
	}
	if c.Compare == "" {
		if c.JSON {
			return printJSON(first)
		}
		fmt.Print(report.EvalTable(first))
		return nil
	}
	second, err := train.Evaluate(ctx, cfg, c.Compare, screen(c.JSON))
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(map[string]report.Eval{"model": first, "compare": second})
	}
	fmt.Print(report.Table(first, second))
	return nil
}
