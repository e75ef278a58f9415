package main

import (
	"fmt"

	"concord/internal/report"
	"concord/internal/train"
)

type importCmd struct {
	File  string `arg:"" name:"file.gguf" help:"A model file of llama.cpp, Ollama or LM Studio."`
	Dir   string `arg:"" name:"dir" help:"The model folder to make, for model.path."`
	Base  string `placeholder:"MODEL" help:"${import_base}"`
	DType string `name:"dtype" placeholder:"TYPE" help:"f32, f16 or bf16; default: what loses nothing."`
	JSON  bool   `help:"Print as JSON."`
}

func (c *importCmd) Run() error {
	out, err := train.Import{File: c.File, Dir: c.Dir, Base: c.Base, DType: c.DType}.Write()
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out)
	}
	fmt.Printf(" %s\n as %s in %s\n try it: %s\n", out.What, out.DType, out.Model,
		report.Command("generate", "--model", out.Model, "some text"))
	return nil
}
