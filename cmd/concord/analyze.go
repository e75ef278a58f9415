package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"concord/internal/analyze"
	"concord/internal/config"
	"concord/internal/rundir"
	"concord/internal/safetensors"
	"concord/internal/train"
)

type analyzeCmd struct {
	Separability separabilityCmd `cmd:"" help:"${analyze_separability}"`
}

type separabilityCmd struct {
	Folder string `arg:"" name:"run" help:"A finished run's folder, or a run file (TOML) with BASE and TUNED."`
	Base   string `arg:"" optional:"" help:"Base model folder; default: the run's base model."`
	Tuned  string `arg:"" optional:"" help:"Tuned model folder or run folder; default: the run's model."`
	overrides
	Examples int    `default:"200" help:"Held-out examples of each language at most, evenly spread."`
	Out      string `help:"${separability_out}" placeholder:"FILE"`
	JSON     bool   `help:"Print the result as JSON."`
}

func (c *separabilityCmd) Run() error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	if c.Examples < 10 {
		return usagef("--examples: at least 10 of each language are needed")
	}
	ctx, stop := interruptible(stoppingEval)
	defer stop()
	ui := screen(c.JSON)
	base, err := train.HiddenStates(ctx, cfg, c.Base, c.Examples, ui)
	if err != nil {
		return err
	}
	tuned, err := train.HiddenStates(ctx, cfg, c.Tuned, c.Examples, ui)
	if err != nil {
		return err
	}
	if base.Text != tuned.Text {
		return train.DataError(errors.New("the two models' tokenizers cut the examples differently: their states are not those of " +
			"the same text\n  fix: compare models that share a tokenizer"))
	}
	r, err := analyze.Compare(base.Langs, base.Labels, base.States, tuned.States)
	if err != nil {
		return train.DataError(err)
	}
	return c.show(r, ui.Out)
}

// config is the run's or the run file's, and fills in which models are compared.
func (c *separabilityCmd) config() (*config.Config, error) {
	if !rundir.IsRun(c.Folder) {
		if c.Tuned == "" {
			return nil, usagef("%s is not a run's folder: give one, or a run file with the two models: concord analyze separability "+
				"run.toml BASE TUNED", c.Folder)
		}
		return config.Load(c.Folder, c.Override)
	}
	cfg, err := train.RunConfig(c.Folder)
	if err != nil {
		return nil, err
	}
	if err := cfg.Override(c.Override, []string{"device."}); err != nil {
		return nil, err
	}
	if c.Tuned == "" {
		c.Tuned = c.Folder
		if _, err := rundir.ModelDir(c.Folder); err != nil {
			return nil, err
		}
	}
	if c.Out == "" {
		c.Out = filepath.Join(c.Folder, "analysis.json")
	}
	return cfg, nil
}

func (c *separabilityCmd) show(r *analyze.Result, to io.Writer) error {
	f := r.File()
	if c.Out != "" {
		b, err := json.MarshalIndent(f, "", " ")
		if err != nil {
			return err
		}
		if err := safetensors.WriteFile(c.Out, b); err != nil {
			return train.DataError(fmt.Errorf("cannot write the analysis: %w\n  fix: --out with a place that can be written to", err))
		}
	}
	if c.JSON {
		return printJSON(f)
	}
	fmt.Fprintf(to, " %d languages, chance %.1f %%; layer 0 is the embedding\n", len(r.Langs), 100/float64(len(r.Langs)))
	if err := table(func(w io.Writer) {
		fmt.Fprintln(w, "layer\tprobe base\ttuned\tFisher base\ttuned\tseparating base\ttuned\tspecific base\ttuned\tin both\tCKA\t")
		for l, b := range r.Layers {
			fmt.Fprintf(w, "%d\t%.1f %%\t%.1f %%\t%.3f\t%.3f\t%d\t%d\t%d\t%d\t%d\t%.3f\t\n", l, 100*b.Base.Accuracy, 100*b.Tuned.Accuracy,
				b.Base.Fisher, b.Tuned.Fisher,
				b.Base.Large, b.Tuned.Large, len(b.Base.Specific), len(b.Tuned.Specific), b.Shared(), b.CKA)
		}
	}); err != nil {
		return err
	}
	if c.Out != "" {
		fmt.Fprintf(to, " analysis in %s\n", c.Out)
	}
	return nil
}
