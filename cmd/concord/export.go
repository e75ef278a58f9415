package main

import (
	"fmt"

	"concord/internal/report"
	"concord/internal/train"
)

type exportCmd struct {
	Dir        string `arg:"" name:"run" help:"The run's folder (runs/NAME)."`
	Checkpoint string `default:"last" placeholder:"best|last|N" help:"Which one: the last, the best of the evaluations so far, or that of step N."`
	Out        string `placeholder:"DIR" help:"Folder to make; default: model-step-N in the run's folder."`
	DType      string `name:"dtype" placeholder:"TYPE" help:"f32, f16 or bf16; default: model.save_dtype, or the base model's."`
	RunFile    string `placeholder:"FILE" help:"Where the run file is now, if the project has moved and the run does not find it."`
	JSON       bool   `help:"Print as JSON."`
}

func (c *exportCmd) Run() error {
	out, err := train.Export{Checkpoint: c.Checkpoint, Out: c.Out, DType: c.DType, RunFile: c.RunFile}.Write(c.Dir)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out)
	}
	fmt.Printf(" model of step %d (%s) in %s\n try it: %s\n", out.Step, out.DType, out.Model, report.Command("generate", "--model", out.Model, "some text"))
	return nil
}
