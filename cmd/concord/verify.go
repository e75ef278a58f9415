package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"concord/internal/export"
	"concord/internal/rundir"
	"concord/internal/train"
)

type verifyCmd struct {
	From       string `arg:"" name:"run|model" help:"A run's folder (runs/NAME), an adapter's or a model's folder, or a GGUF file."`
	Written    string `arg:"" optional:"" name:"made" help:"${verify_made}"`
	Checkpoint string `default:"last" placeholder:"best|last|N" help:"Of a run, which one."`
	RunFile    string `placeholder:"FILE" help:"Where the run file is now, if the project has moved and the run does not find it."`
	JSON       bool   `help:"Print as JSON."`
	deviceFlags
}

func (c *verifyCmd) Run() error {
	dev, err := c.options()
	if err != nil {
		return err
	}
	v := export.Verify{Source: c.From, Written: c.Written, Texts: runTexts(c.From), Device: dev}
	if rundir.IsRun(c.From) {
		if adapted, err := train.HasAdapter(c.From); err != nil || !adapted && c.Written == "" {
			return cmp.Or(err, export.NoAdapter(c.From))
		}
		temp, err := os.MkdirTemp(c.From, ".export-")
		if err != nil {
			return train.DataError(err)
		}
		defer os.RemoveAll(temp)
		v.Source = filepath.Join(temp, "model")
		if _, err := (train.Export{Checkpoint: c.Checkpoint, Out: v.Source, DType: "f32", RunFile: c.RunFile}).Write(c.From); err != nil {
			return err
		}
	}
	p, err := v.Run()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(p)
	}
	fmt.Printf(" the same: %v\n", p)
	return nil
}
