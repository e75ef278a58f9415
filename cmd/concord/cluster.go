package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"concord/internal/cluster"
	"concord/internal/cluster/coordinator"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/train"
)

type workerCmd struct {
	Join   string   `required:"" env:"CONCORD_JOIN" placeholder:"@FILE" help:"${worker_join}"`
	Dir    string   `placeholder:"DIR" help:"Where to keep the identity and the run's files; by default in the user's cache folder."`
	Listen string   `default:":0" placeholder:"ADDR" help:"UDP address for the other workers; any port by default."`
	Name   string   `help:"This machine's name, as the others see it; by default the host's."`
	Model  []string `placeholder:"DIR" help:"${worker_model}"`
	metering
	WAN bool `name:"wan" help:"More patience with outages, for a link over the internet; machine 1 needs cluster.wan = true."`
	overrides
	Quiet bool `short:"q" help:"Print errors only."`
}

func (c *workerCmd) Run() error {
	ctx, stop := interruptible(stoppingWorker)
	defer stop()
	line, err := joinLine(c.Join)
	if err != nil {
		return err
	}
	ui := screen(c.Quiet)
	stopMetrics, err := c.metering.serve(&ui)
	if err != nil {
		return err
	}
	defer stopMetrics()
	return train.Work(ctx, train.WorkOptions{Join: line, Again: func() (string, error) { return joinLine(c.Join) }, Dir: c.Dir,
		Listen: c.Listen, Name: c.Name, WAN: c.WAN, Have: c.Model, Overrides: c.Override}, ui)
}

// joinLine is the line that --join names: itself, or the content of the file @FILE.
func joinLine(arg string) (string, error) {
	path, isFile := strings.CutPrefix(arg, "@")
	if !isFile {
		return arg, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", usagef("--join: %v", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// printStatus shows the machines, the groups and slices that each owns and the waits for each.
func printStatus(out io.Writer, s coordinator.Status, now time.Time, going bool) {
	fmt.Fprintf(out, "%d steps committed, term %d", s.Step, s.Term)
	if s.Median > 0 {
		fmt.Fprintf(out, ", %.2f s a step", s.Median)
	}
	if !going {
		fmt.Fprint(out, "; machine 1 is not running, this is how it stood when it was")
	}
	fmt.Fprintf(out, " (%s ago)\n", now.Sub(s.Time).Round(time.Second))
	if s.Waiting != "" {
		fmt.Fprintf(out, "waits for %s\n", s.Waiting)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WORKER\tNAME\tDEVICE\tSTATE\tSTEP\tROWS\tGROUPS\tSLICES\tTOK/S\tSENT\tRECEIVED\tRTT\tLOST\tWAITED\tWAITED ON")
	for _, m := range s.Members {
		name := m.Name
		if m.Addr == "" {
			name += " (cannot be dialled)"
		}
		if m.Relayed {
			name += " (dials others, or is relayed to)"
		}
		if m.Punched {
			name += " (behind a NAT, punched)"
		}
		if len(m.Apart) > 0 {
			name += fmt.Sprintf(" (does not reach %d)", m.Apart)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%.0f\t%s\t%s\t%.1f ms\t%.2f %%\t%.2f s\t%.2f s\n", m.Worker, name, m.Device, m.State,
			m.Step, m.Rows, m.Groups, m.Slices, m.Speed,
			report.Bytes(m.Sent), report.Bytes(m.Received), 1000*m.RTT, 100*m.Lost, m.Waited, m.WaitedOn)
	}
	w.Flush()
	printPaths(out, s.Paths())
	for _, e := range s.Evicted {
		fmt.Fprintf(out, "out: worker %d, %s, at %s: %s\n", e.Worker, e.Name, e.Time.Format(time.DateTime), e.Reason)
	}
}

// mostPairs is how many pairs of one path are named one by one.
const mostPairs = 12

// printPaths shows how the machines reach each other, a line a path.
func printPaths(out io.Writer, paths []coordinator.PathStatus) {
	for _, x := range paths {
		var names []string
		for _, p := range x.Pairs[:min(len(x.Pairs), mostPairs)] {
			names = append(names, fmt.Sprintf("%d–%d", p[0], p[1]))
		}
		text := strings.Join(names, ", ")
		if n := len(x.Pairs) - mostPairs; n > 0 {
			text += fmt.Sprintf(" and %d more (--json)", n)
		}
		if x.Path.OverRelay() {
			text += fmt.Sprintf(" (%s over machine 1 so far)", report.Bytes(x.Relayed))
		}
		fmt.Fprintf(out, "%s: %s\n", x.Path, text)
	}
}

type inviteCmd struct {
	Dir   string  `arg:"" help:"The run's folder (runs/NAME) on machine 1."`
	Hours float64 `default:"1" help:"How long the line is valid."`
	Uses  int     `default:"1" help:"Machines that it admits; 0: any number."`
}

func (c *inviteCmd) Run() error {
	if c.Hours <= 0 || c.Uses < 0 {
		return usagef("--hours must be more than 0 and --uses 0 or more")
	}
	uses := c.Uses
	if uses == 0 {
		uses = -1
	}
	l, err := cluster.Invite(rundir.Cluster(c.Dir), time.Duration(c.Hours*float64(time.Hour)), uses)
	if err != nil {
		return train.DataError(err)
	}
	fmt.Printf("concord worker --join '%s'\n", l)
	fmt.Fprintln(os.Stderr, train.JoinAdvice)
	return nil
}

type revokeCmd struct {
	Dir    string `arg:"" help:"The run's folder (runs/NAME) on machine 1."`
	Worker uint32 `arg:"" help:"The worker's number, see concord status."`
}

func (c *revokeCmd) Run() error {
	if c.Worker <= 1 {
		return usagef("worker %d is machine 1 itself", c.Worker)
	}
	s, err := cluster.ReadStatus(rundir.Cluster(c.Dir))
	if err != nil {
		return train.DataError(fmt.Errorf("%s is not the folder of a run on many machines: %w", c.Dir, err))
	}
	secrets, err := cluster.OpenSecrets(rundir.Cluster(c.Dir))
	ended := 0
	if err == nil {
		ended, err = secrets.Revoke(c.Worker)
	}
	if err != nil {
		return train.DataError(err)
	}
	if ended > 0 {
		fmt.Printf("the join line by which it came admits nobody any more; for others, make a new one: %s\n", report.Command("invite", c.Dir))
	}
	for _, m := range s.Members {
		if m.Worker == c.Worker {
			fmt.Printf("worker %d, %s, is put out and cannot come back\n", m.Worker, m.Name)
			return nil
		}
	}
	fmt.Printf("worker %d is not in the run now, and cannot come back\n", c.Worker)
	return nil
}
