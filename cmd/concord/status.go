package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"concord/internal/cluster"
	"concord/internal/cluster/coordinator"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/train"
)

type statusCmd struct {
	Dir  string `arg:"" name:"run" help:"The run's folder (runs/NAME); of a run on many machines, on machine 1."`
	JSON bool   `help:"As JSON."`
}

// status is the output of the verb: of every run, and of one on many machines the machines too.
type status struct {
	train.Status
	Machines *coordinator.Status `json:"machines,omitempty"`
}

func (c *statusCmd) Run() error {
	s, err := train.StatusOf(c.Dir)
	if err != nil {
		return err
	}
	all := status{Status: s}
	if m, err := cluster.ReadStatus(rundir.Cluster(c.Dir)); err == nil {
		all.Machines = &m
	}
	if c.JSON {
		return printJSON(all)
	}
	printRun(os.Stdout, s)
	if all.Machines != nil {
		printStatus(os.Stdout, *all.Machines, time.Now(), rundir.Going(c.Dir))
	}
	return nil
}

// printRun shows how a run stands, and the command that goes with it.
func printRun(out io.Writer, s train.Status) {
	fmt.Fprintf(out, "%s is %s: step %d of %d, %s tokens read, %s, scope %s\n", s.Name, s.State, s.Step, s.Steps, report.Count(s.Tokens),
		s.Method, s.Scope)
	if loss := float64(s.Loss); !math.IsNaN(loss) {
		fmt.Fprintf(out, "last step: loss %.3f nats per token, %s a step", loss, seconds(s.StepTime))
		if s.Left > 0 && s.State == "going" {
			fmt.Fprintf(out, ", %s left", seconds(s.Left))
		}
		fmt.Fprintln(out)
	}
	if s.Eval != nil {
		if m := s.Eval.Mean(true); !math.IsNaN(m) {
			fmt.Fprintf(out, "last evaluation, after step %d: %s\n", s.Eval.Step, s.Eval.Summary())
		}
	}
	if s.Checkpoint > 0 {
		fmt.Fprintf(out, "newest checkpoint: step %d\n", s.Checkpoint)
	}
	report.Warn(out, s.Warnings)
	switch s.State {
	case "finished":
		fmt.Fprintf(out, "model in %s\n", s.Model)
	case "stopped":
		fmt.Fprintf(out, "go on: %s\n", report.Command("resume", s.Dir))
	default:
		fmt.Fprintf(out, "watch: %s\n", report.Command("attach", s.Dir))
	}
}

func seconds(s float64) string { return report.Duration(time.Duration(s * float64(time.Second))) }
