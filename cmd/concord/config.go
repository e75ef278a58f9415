package main

import (
	"fmt"
	"os"

	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/train"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Check a run file, its data and its model without touching a GPU."`
	Show  configShowCmd  `cmd:"" help:"Print every setting and where it comes from."`
}

type configCheckCmd struct {
	RunFile string `arg:"" help:"Run file (TOML)."`
	overrides
	JSON bool `help:"Print the result as JSON."`
}

func (c *configCheckCmd) Run() error {
	cfg, err := config.Load(c.RunFile, c.Override)
	if err != nil {
		return err
	}
	plan, err := train.Check(cfg)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(plan)
	}
	report.DataTable(os.Stdout, plan.Data)
	report.Warn(os.Stdout, plan.Warnings)
	fmt.Printf("%s is fine: %d languages to train, %d steps of %d × %d tokens\n", c.RunFile, plan.Trained, plan.Steps, plan.Rows, plan.SeqLen)
	return nil
}

type configShowCmd struct {
	RunFile string `arg:"" help:"Run file (TOML)."`
	overrides
	JSON bool `help:"Print the settings as JSON."`
}

func (c *configShowCmd) Run() error {
	cfg, err := config.Load(c.RunFile, c.Override)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(cfg.Values())
	}
	cfg.Show(os.Stdout)
	return nil
}
