package main

import (
	"fmt"
	"os"

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
	ctx, stop := interruptible(stoppingEval)
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
	second, err := train.EvaluateLike(ctx, cfg, c.Compare, &first, screen(c.JSON))
	if err != nil {
		return err
	}
	for i, r := range first.Rows { // another tokenizer may keep other examples within data.max_len
		if o := second.Rows[i]; o.Bytes != r.Bytes || o.Examples != r.Examples {
			fmt.Fprintf(os.Stderr, "concord: %s: the models were measured on different text (%d and %d bytes): raise data.max_len\n", r.Lang,
				r.Bytes, o.Bytes)
		}
	}
	second.Relate(&first)
	if c.JSON {
		return printJSON(map[string]report.Eval{"model": first, "compare": second})
	}
	fmt.Print(report.Table(first, second, "model", "compare"))
	return nil
}
