// Command concord fine-tunes language models in many languages at once on any
// Vulkan, Metal or DX12 GPU, resolving the languages' gradient conflicts bucket
// by bucket. Each verb is one file; main maps errors to exit codes.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"concord/internal/fault"
	"concord/internal/report"
	"concord/internal/train"
)

// Exit codes, the same for every verb.
const (
	exitUsage       = 2 // command line or run file
	exitData        = 3 // data or model file
	exitDevice      = 4 // no adapter, out of memory, device lost, self-test failed
	exitDiverged    = 5 // loss or gradient not finite
	exitInterrupted = 6 // stopped by the user; resume continues
	exitCluster     = 7 // the other machines of a run: not reached, refused, gone
)

var cli struct {
	Init     initCmd     `cmd:"" help:"Write a run file for a folder of data and a model."`
	Train    trainCmd    `cmd:"" help:"Fine-tune the model of a run file."`
	Resume   resumeCmd   `cmd:"" help:"Continue an interrupted run, bit for bit."`
	Export   exportCmd   `cmd:"" help:"Make the model folder of any checkpoint, also of a stopped or running run."`
	Verify   verifyCmd   `cmd:"" help:"Prove that what was made of a model says what the model says: bits, logits, texts."`
	Import   importCmd   `cmd:"" help:"Make a model folder of a GGUF file, or an adapter's of a GGUF adapter."`
	Worker   workerCmd   `cmd:"" help:"Join a run on many machines."`
	Status   statusCmd   `cmd:"" help:"How a run stands; of one on many machines, who is in and what it waits for."`
	Invite   inviteCmd   `cmd:"" help:"Make another join line for a run on many machines."`
	Revoke   revokeCmd   `cmd:"" help:"Put a worker out of a run for good."`
	Plan     planCmd     `cmd:"" help:"What a run takes: memory, on which cards it fits, the largest batch, bytes on the wire, time."`
	Compare  compareCmd  `cmd:"" help:"The same fine-tune under many methods and tuned baselines: one report."`
	Audit    auditCmd    `cmd:"" help:"Do my languages hurt each other, and what would help? One report, within a budget."`
	Attach   attachCmd   `cmd:"" help:"Watch and steer a run from another terminal."`
	Eval     evalCmd     `cmd:"" help:"Bits per byte of every language of a run file, on any model."`
	Score    scoreCmd    `cmd:"" help:"Negative log-likelihood of each of the given token ids."`
	Generate generateCmd `cmd:"" help:"The model's answer to a question, or the continuation of a text."`
	Chat     chatCmd     `cmd:"" help:"Talk with a model, by its chat template."`
	Doctor   doctorCmd   `cmd:"" help:"List adapters and check every kernel against the CPU."`
	Moo      mooCmd      `cmd:"" help:"Gradient-conflict resolution on given numbers."`
	Config   configCmd   `cmd:"" help:"Check, show or explain a run file."`
	Data     dataCmd     `cmd:"" help:"Look into data: statistics, what is trained, how a file is read."`
	Bench    benchCmd    `cmd:"" help:"Measure this machine."`
	Analyze  analyzeCmd  `cmd:"" help:"What fine-tuning did to a model's representations."`
	Report   reportCmd   `cmd:"" help:"A run as one HTML page, CSV files and pictures."`
	Version  versionCmd  `cmd:"" help:"Print the version."`

	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	train.Tokenising = func(path string, documents int) {
		fmt.Fprintf(os.Stderr, "concord: tokenising %s: %s documents so far\n", path, report.Count(int64(documents)))
	}
	code := -1
	parser, err := kong.New(&cli, kong.Name("concord"),
		kong.Description("Fine-tune small language models in many languages at once, on the GPU you own.\nNo telemetry, and no "+
			"network unless you give --listen, --join or --coordinator. Exit codes: 0 fine, 2 usage or configuration, 3 data or "+
			"model file, 4 device, 5 diverged, 6 interrupted and resumable, 7 the other machines of a run."),
		kong.UsageOnError(), longHelp, kong.Vars{"version": train.BuildVersion().Line()}, kong.Exit(func(c int) { code = c }))
	if err != nil {
		fmt.Fprintln(os.Stderr, "concord:", err)
		return exitUsage
	}
	ctx, err := parser.Parse(args)
	if code == 0 { // --help printed
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "concord: %v\n  see: %s --help\n", err, verbOf(err))
		return exitUsage
	}
	if err := ctx.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "concord: %s\n", report.Printable(err.Error()))
		return exitCode(err)
	}
	return 0
}

// verbOf is the command up to the verb in which the command line went wrong.
func verbOf(err error) string {
	var pe *kong.ParseError
	if errors.As(err, &pe) && pe.Context.Selected() != nil {
		return pe.Context.Selected().FullPath()
	}
	return "concord"
}

// exitCode maps an error to its documented code.
func exitCode(err error) int {
	var usage *usageError
	switch {
	case errors.As(err, &usage), fault.IsUsage(err):
		return exitUsage
	case errors.Is(err, train.ErrInterrupted):
		return exitInterrupted
	case errors.Is(err, train.ErrDiverged):
		return exitDiverged
	case errors.Is(err, train.ErrData):
		return exitData
	case errors.Is(err, train.ErrDevice):
		return exitDevice
	case errors.Is(err, train.ErrCluster):
		return exitCluster
	}
	return 1
}

// usageError is a mistake on the command line.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// screen describes standard output.
func screen(quiet bool) train.UI {
	ui := train.UI{Out: os.Stdout, Warn: os.Stderr, Quiet: quiet}
	fd := int(os.Stdout.Fd())
	if term.IsTerminal(fd) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == "" {
		ui.Terminal = true
		if w, _, err := term.GetSize(fd); err == nil {
			ui.Width = w
		}
	}
	return ui
}
