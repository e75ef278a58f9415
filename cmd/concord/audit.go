package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"concord/internal/audit"
	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/train"
)

type auditCmd struct {
	RunFile string `arg:"" help:"Run file (TOML)."`
	overrides
	Budget   *time.Duration `help:"${audit_budget}" placeholder:"TIME"`
	Tokens   *int64         `help:"In place of --budget: tokens to train on in this call." placeholder:"N"`
	Steps    int            `help:"Steps of a run on all languages; default: from the budget, at most the run file's." placeholder:"N"`
	Seeds    int            `default:"12" help:"Most seeds that judge; as many are made as tell differences of the margin." placeholder:"N"`
	Margin   float64        `default:"0.01" help:"Bits per byte below which a difference does not matter." placeholder:"BITS"`
	Remedies string         `enum:"hurt,all,none" default:"hurt" help:"${audit_remedies}" placeholder:"WHEN"`
	Controls bool           `help:"Also data whose outcome is known: two contradictory languages, and one language divided in two."`
	Out      string         `help:"The audit's folder; default: RUN.DIR/NAME-audit. The same command goes on there." placeholder:"DIR"`
	JSON     bool           `help:"Print the report as JSON instead of text."`
}

func (c *auditCmd) Run() error {
	cfg, err := config.Load(c.RunFile, c.Override)
	if err != nil {
		return err
	}
	budget, tokens := 30*time.Minute, int64(0)
	if c.Budget != nil {
		budget = *c.Budget
	}
	if c.Tokens != nil {
		budget, tokens = 0, *c.Tokens
	}
	switch {
	case c.Budget != nil && c.Tokens != nil:
		return usagef("give --budget or --tokens, not both")
	case c.Budget != nil && *c.Budget <= 0:
		return usagef("--budget %v is not above 0: give the time of this call, such as --budget 30m", *c.Budget)
	case c.Tokens != nil && *c.Tokens <= 0:
		return usagef("--tokens %d is not above 0: give the tokens to train on in this call, such as --tokens 1000000", *c.Tokens)
	case c.Steps < 0:
		return usagef("--steps %d is not above 0", c.Steps)
	case c.Seeds < 3 || c.Seeds > 1000:
		return usagef("--seeds %d is outside 3 … 1000", c.Seeds)
	case !(c.Margin > 0) || c.Margin > 10:
		return usagef("--margin %v is outside 0 < bits per byte ≤ 10", c.Margin)
	}
	run := train.Vary(cfg)
	if c.Out == "" {
		c.Out = run.Folder() + "-audit"
	}
	ctx, stop := interruptible(stoppingRun + "; the same command goes on")
	defer stop()
	rep, err := audit.Run(ctx, audit.Options{Run: run, Out: c.Out, Budget: budget, Tokens: tokens,
		Steps: c.Steps, Seeds: c.Seeds, Margin: c.Margin,
		Remedies: c.Remedies, Controls: c.Controls, Command: report.Command(os.Args[1:]...)}, screen(c.JSON))
	if errors.Is(err, train.ErrInterrupted) {
		return fmt.Errorf("%w:\n  %s\n  what there is so far: %s", err, report.Command(os.Args[1:]...), filepath.Join(c.Out, "report.html"))
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(rep)
	}
	fmt.Printf("\n%s\n report in %s (also .txt, .json)\n", rep.Text(), filepath.Join(c.Out, "report.html"))
	return nil
}
