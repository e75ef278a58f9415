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

	Explain configExplainCmd `cmd:"" help:"Say what a setting of the run file means, its type, default and allowed values."`
}

type configExplainCmd struct {
	Key  string `arg:"" help:"A key such as optim.lr or lr, or a section such as data.source."`
	JSON bool   `help:"As JSON."`
}

func (c *configExplainCmd) Run() error {
	keys, err := config.Explain(c.Key)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(keys)
	}
	for i, k := range keys {
		if i > 0 {
			fmt.Println()
		}
		fmt.Printf("%s: %s\n", k.Name, k.Meaning)
		fmt.Printf("  type     %s\n  default  %s\n", k.Type, k.Default)
		if k.Allowed != "" {
			fmt.Printf("  allowed  %s\n", k.Allowed)
		}
		fmt.Printf("  example  %s\n", k.Example)
		if k.Section() != "" {
			fmt.Printf("           in %s\n", k.Section())
		}
	}
	return nil
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
	fmt.Printf("%s is fine: %s to train, %s of %d × %d tokens\n", c.RunFile, report.Plural(plan.Trained, "language"),
		report.Plural(plan.Steps, "step"), plan.Rows, plan.SeqLen)
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
