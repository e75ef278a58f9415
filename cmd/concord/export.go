package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"concord/internal/config"
	"concord/internal/device"
	"concord/internal/export"
	"concord/internal/gguf"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/safetensors"
	"concord/internal/train"
)

// The formats of export.
const (
	formatFolder = "safetensors"
	formatGGUF   = "gguf"
	formatPEFT   = "peft"
	formatLoRA   = "gguf-lora"
)

type exportCmd struct {
	From       string `arg:"" name:"run|model" help:"A run's folder (runs/NAME), a model's folder, or a GGUF file."`
	Format     string `default:"safetensors" enum:"safetensors,gguf,peft,gguf-lora" help:"${export_format}"`
	Checkpoint string `default:"last" placeholder:"best|last|N" help:"${export_checkpoint}"`
	Out        string `placeholder:"PATH" help:"Folder or file to make; default: in the run's or model's folder."`
	DType      string `name:"dtype" placeholder:"TYPE" help:"${export_dtype}"`
	RunFile    string `placeholder:"FILE" help:"Where the run file is now, if the project has moved and the run does not find it."`
	Verify     bool   `help:"${export_verify}"`
	JSON       bool   `help:"Print as JSON."`
	deviceFlags
}

// exported is the result of an export.
type exported struct {
	Model    string        `json:"model"`
	Format   string        `json:"format"`
	DType    string        `json:"dtype"`
	Step     int           `json:"step,omitempty"` // of a run
	Notes    []string      `json:"notes,omitempty"`
	Verified *export.Proof `json:"verified,omitempty"`
}

func (c *exportCmd) Run() error {
	dev, err := c.options()
	if err != nil {
		return err
	}
	out, err := c.export(dev)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out)
	}
	what := "model"
	if rundir.IsRun(c.From) {
		what = fmt.Sprintf("model of step %d", out.Step)
	}
	fmt.Printf(" %s (%s) in %s\n", what, out.DType, out.Model)
	if out.Verified != nil {
		fmt.Printf(" read back and compared: %v\n", out.Verified)
	}
	if out.Format == formatLoRA { // no model of its own
		fmt.Printf(" use it: llama-cli -m BASE.gguf --lora %s\n", report.Quote(out.Model))
		fmt.Printf(" or as a folder: %s\n", report.Command("import", out.Model, "ADAPTER", "--base", "MODEL"))
		return nil
	}
	fmt.Printf(" try it: %s\n", report.Command("generate", "--model", out.Model, "some text"))
	return nil
}

// export makes the model, and its proof where one is asked for.
func (c *exportCmd) export(dev device.Options) (*exported, error) {
	if rundir.IsRun(c.From) {
		adapted, err := c.adapted()
		if err != nil {
			return nil, err
		}
		if (c.Format == formatPEFT || c.Format == formatFolder && !adapted) && !c.Verify {
			x, err := train.Export{Checkpoint: c.Checkpoint, Out: c.Out, DType: c.DType, RunFile: c.RunFile}.Write(c.From)
			return &exported{Format: c.Format, Model: x.Model, Step: x.Step, DType: x.DType}, err
		}
		return c.ofRun(dev)
	}
	if c.Checkpoint != "last" {
		return nil, usagef("%s is not a run: --checkpoint %s chooses among a run's", c.From, c.Checkpoint)
	}
	if _, err := os.Stat(c.From); err != nil {
		return nil, train.DataError(fmt.Errorf("%w\n  fix: give a run's folder (runs/NAME), a model's folder or a GGUF file", err))
	}
	from, err := rundir.ModelDir(c.From)
	if err != nil {
		return nil, err
	}
	base := filepath.Clean(from)
	if ext := filepath.Ext(base); strings.EqualFold(ext, ".gguf") {
		base = strings.TrimSuffix(base, ext)
	}
	return c.make(from, base, dev)
}

// adapted says that the run has an adapter.
func (c *exportCmd) adapted() (bool, error) {
	adapted, err := train.HasAdapter(c.From)
	if err == nil && (c.Format == formatPEFT || c.Format == formatLoRA) && !adapted {
		err = usagef("%s has no adapter: it trained the model itself; --format safetensors writes that", c.From)
	}
	return adapted, err
}

// ofRun makes the checkpoint a folder of float32 first, with which the result
// is also compared.
func (c *exportCmd) ofRun(dev device.Options) (*exported, error) {
	temp, err := os.MkdirTemp(c.From, ".export-")
	if err != nil {
		return nil, train.DataError(err)
	}
	defer os.RemoveAll(temp)
	from := filepath.Join(temp, "model")
	x, err := train.Export{Checkpoint: c.Checkpoint, Out: from, DType: "f32", RunFile: c.RunFile}.Write(c.From)
	if err != nil {
		return nil, err
	}
	if c.DType == "" && c.Format != formatPEFT && c.Format != formatLoRA {
		c.DType = x.Default
	}
	out, err := c.make(from, filepath.Join(c.From, fmt.Sprintf("%s-step-%d", rundir.ModelFolder, x.Step)), dev)
	if out != nil {
		out.Step = x.Step
	}
	return out, err
}

// make writes the model in the folder or file from; base is the result's path without
// the ending that its format adds.
func (c *exportCmd) make(from, base string, dev device.Options) (*exported, error) {
	out := &exported{Format: c.Format, Model: c.Out}
	var err error
	switch c.Format {
	case formatGGUF:
		err = c.gguf(from, base, out)
	case formatPEFT:
		err = c.adapter(base, out)
	case formatLoRA:
		err = c.lora(from, base, out)
	default:
		err = c.folder(from, base, out)
	}
	if err != nil {
		return nil, err
	}
	for _, note := range out.Notes {
		fmt.Fprintln(os.Stderr, "concord:", note)
	}
	if !c.Verify {
		return out, nil
	}
	v := export.Verify{Source: from, Written: out.Model, Texts: runTexts(c.From), Bound: export.Bounds[out.DType], Device: dev}
	d, err := v.Run()
	out.Verified = &d
	return out, err
}

// adapter writes the adapter of a run's checkpoint.
func (c *exportCmd) adapter(base string, out *exported) error {
	if !rundir.IsRun(c.From) {
		return usagef("--format peft writes the adapter of a run, and %s is no run", c.From)
	}
	if out.Model == "" {
		out.Model = base
	}
	x, err := train.Export{Checkpoint: c.Checkpoint, Out: out.Model, DType: c.DType, RunFile: c.RunFile}.Write(c.From)
	out.DType = strings.ToLower(string(x.Type))
	return err
}

func (c *exportCmd) folder(from, base string, out *exported) error {
	dtype := safetensors.DType("")
	if c.DType != "" {
		var err error
		if dtype, err = safetensors.ParseDType(c.DType); err != nil {
			return &config.Error{Where: "--dtype", Msg: err.Error(), Fix: "--dtype bf16"}
		}
	}
	if out.Model == "" {
		if out.Model = base; out.Model == from {
			if _, err := export.DType(from); err != nil {
				return err
			}
			return usagef("%s is a model folder already: --out names another, --format gguf makes a file for llama.cpp", from)
		}
	}
	dtype, err := export.Folder{From: from, Out: out.Model, DType: dtype}.Write()
	out.DType = strings.ToLower(string(dtype))
	return err
}

func (c *exportCmd) gguf(from, base string, out *exported) error {
	if out.DType = c.DType; out.DType == "" {
		var err error
		if out.DType, err = export.DType(from); err != nil {
			return err
		}
	}
	kind, err := gguf.ParseType(out.DType)
	if err != nil {
		return &config.Error{Where: "--dtype", Msg: err.Error(), Fix: "--dtype q8_0"}
	}
	if out.Model == "" {
		out.Model = fmt.Sprintf("%s-%s.gguf", base, out.DType)
	}
	out.Notes, err = export.GGUF{From: from, Out: out.Model, Name: filepath.Base(base), Type: kind}.Write()
	return err
}

// lora writes the adapter for llama.cpp.
func (c *exportCmd) lora(from, base string, out *exported) error {
	if out.DType = "f32"; c.DType != "" && c.DType != out.DType {
		return &config.Error{Where: "--dtype", Msg: fmt.Sprintf("%s: --format %s writes float32", c.DType, formatLoRA), Fix: "--dtype f32"}
	}
	if out.Model == "" {
		out.Model = base + "-lora.gguf"
	}
	return export.GGUFAdapter{From: from, Out: out.Model, Name: filepath.Base(base)}.Write()
}

// runTexts are those of a run, to compare logits on; nil where it has none any more.
func runTexts(run string) []string {
	if !rundir.IsRun(run) {
		return nil
	}
	cfg, err := train.RunConfig(run)
	if err == nil {
		files, e := train.OpenCorpus(cfg)
		if err = e; err == nil {
			var out []string
			if out, err = files.Prompts(len(export.Texts)); err == nil {
				return out
			}
		}
	}
	fmt.Fprintf(os.Stderr, "concord: the run's texts cannot be read, built-in ones are compared: %v\n", err)
	return nil
}
