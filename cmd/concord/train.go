package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"concord/internal/cluster/etcd"
	"concord/internal/cluster/store"
	"concord/internal/config"
	"concord/internal/train"
)

// overrides is the -o flag of every verb that takes a run file.
type overrides struct {
	Override []string `short:"o" name:"override" sep:"none" placeholder:"SECTION.KEY=VALUE" help:"${overrides_override}"`
}

// showing is how train and resume show a run.
type showing struct {
	Plain bool `help:"Plain lines, also in a terminal."`
	JSON  bool `help:"Print the closing table as JSON instead of text."`
}

// during calls f with the user's screen: the full-screen view where standard
// input and output are a terminal that it fits.
func (s showing) during(f func(ctx context.Context, ui train.UI) (*train.Summary, error)) error {
	ctx, stop := interruptible(stoppingRun)
	defer stop()
	ui := screen(s.JSON)
	if !s.JSON && wantView(s.Plain) {
		ctx2, cancel := context.WithCancel(ctx)
		defer cancel()
		asked := 0
		v, err := newView(func() {
			if asked++; asked > 1 {
				os.Stdout.WriteString("\x1b[?25h\x1b[?1049l")
				os.Exit(exitInterrupted)
			}
			cancel()
		})
		if err == nil {
			defer v.close()
			ui.Watch, ui.Commands, ui.Warn, ui.Terminal = v.Watch, v.commands, v, false
			ctx = ctx2
		}
	}
	sum, err := f(ctx, ui)
	if err != nil {
		return err
	}
	return printSummary(sum, s.JSON)
}

// leading is how train and resume lead a run on many machines.
type leading struct {
	Listen  string `placeholder:"ADDR" help:"${leading_listen}"`
	Spawn   int    `placeholder:"N" help:"Start N more workers on this machine, one process each, to try it out."`
	Workers int    `placeholder:"N" help:"${leading_workers}"`
}

// overrides are the settings that the flags stand for.
func (l leading) overrides(o []string) []string {
	o = slices.Clone(o)
	if l.Spawn > 0 && l.Listen == "" {
		o = append(o, "cluster.listen=127.0.0.1:0")
	}
	if l.Spawn > 0 && l.Workers == 0 {
		o = append(o, fmt.Sprintf("cluster.workers=%d", l.Spawn+1))
	}
	if l.Listen != "" {
		o = append(o, "cluster.listen="+l.Listen)
	}
	if l.Workers != 0 {
		o = append(o, fmt.Sprintf("cluster.workers=%d", l.Workers))
	}
	return o
}

type trainCmd struct {
	RunFile string `arg:"" help:"Run file (TOML)."`
	overrides
	leading
	metering
	Coordinator string `placeholder:"etcd://A,B,C" help:"${train_coordinator}"`
	Dir         string `placeholder:"DIR" help:"${train_dir}"`
	showing
}

func (c *trainCmd) Run() error {
	if c.Coordinator != "" {
		return c.runAt()
	}
	if c.Dir != "" {
		return usagef("--dir is for --coordinator; a run's folder is run.dir in the run file, or -o run.dir=DIR")
	}
	cfg, err := config.Load(c.RunFile, c.leading.overrides(c.Override))
	if err != nil {
		return err
	}
	return c.during(func(ctx context.Context, ui train.UI) (*train.Summary, error) {
		defer c.leading.spawn(&ui, c.Override)()
		stop, err := c.metering.serve(&ui)
		if err != nil {
			return nil, err
		}
		defer stop()
		return train.Run(ctx, cfg, ui)
	})
}

// runAt is train on one of several equal machines.
func (c *trainCmd) runAt() error {
	endpoints, err := etcd.Parse(c.Coordinator)
	if err != nil {
		return usagef("--coordinator: %v", err)
	}
	if c.Spawn > 0 {
		return usagef("--spawn and --coordinator do not go together: start the command several times")
	}
	l := c.leading
	if l.Listen == "" {
		l.Listen = ":4433"
	}
	cfg, err := config.Load(c.RunFile, l.overrides(c.Override))
	if err != nil {
		return err
	}
	return c.during(func(ctx context.Context, ui train.UI) (*train.Summary, error) {
		stop, err := c.metering.serve(&ui)
		if err != nil {
			return nil, err
		}
		defer stop()
		open := func(run string) (store.Store, error) { return etcd.Open(endpoints, run) }
		sum, err := train.RunAt(ctx, cfg, open, c.Dir, ui)
		if err == nil && sum == nil {
			return &train.Summary{}, nil // another machine led, and has the results
		}
		return sum, err
	})
}

type resumeCmd struct {
	Dir     string `arg:"" help:"The run's folder (runs/NAME)."`
	RunFile string `placeholder:"FILE" help:"${resume_runfile}"`
	overrides
	leading
	metering
	showing
}

func (c *resumeCmd) Run() error {
	return c.during(func(ctx context.Context, ui train.UI) (*train.Summary, error) {
		defer c.leading.spawn(&ui, c.Override)()
		stop, err := c.metering.serve(&ui)
		if err != nil {
			return nil, err
		}
		defer stop()
		return train.ResumeMoved(ctx, c.Dir, c.RunFile, c.leading.overrides(c.Override), ui)
	})
}

func printSummary(sum *train.Summary, asJSON bool) error {
	if !asJSON {
		return nil
	}
	return printJSON(sum)
}

func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
