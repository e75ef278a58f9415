package main

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/train"
)

// usualMachines are planned for where a run on many machines does not say how many.
var usualMachines = []int{2, 4, 8}

// wirePlans are the bytes of the run's machines, or those of usual numbers of them.
func (c *planCmd) wirePlans(p *train.Planner, cfg *config.Config) (out []train.WirePlan, err error) {
	machines := []int{cfg.Cluster.Workers}
	switch {
	case !cfg.Clustered():
		machines = []int{1}
	case cfg.Cluster.Workers <= 1 && c.Workers == 0:
		machines = usualMachines
	}
	for _, n := range machines {
		w, err := p.Wire(n)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// time is a step's, nil where nothing was measured.
func (c *planCmd) time(p *train.Planner) (*train.StepTime, string, error) {
	if !c.Measure {
		return p.Recorded()
	}
	ctx, stop := interruptible("stopping after this step")
	defer stop()
	t, err := p.Measure(ctx, os.Stderr)
	return t, "", err
}

func printTime(p planned, clustered bool) {
	t := p.Time
	if t == nil {
		note := p.unmeasured
		if note != "" {
			note = "; " + note
		}
		fmt.Printf(" time    not measured: --measure makes a few steps on this machine's device%s\n", note)
		return
	}
	from := "measured now"
	switch {
	case t.Run != "":
		from = "of " + t.Run
	case clustered:
		from += ", of all rows on one machine"
	}
	fmt.Printf(" time    %s a step by %s %s, on %s; %s take %s, without evaluations\n", seconds(t.Seconds),
		report.Plural(t.Steps, "step"), from, t.Device, report.Plural(p.Run.Steps, "step"), seconds(t.Whole))
}

// mostListed is how many machines have a line each.
const mostListed = 8

func printWire(plans []train.WirePlan) {
	w := plans[0]
	if w.Machines == 1 {
		fmt.Println(" wire    nothing is sent: one machine; --workers N plans the run on N")
		return
	}
	often := "in every step"
	if w.Steps > 1 {
		often = fmt.Sprintf("every %d steps", w.Steps)
	}
	fmt.Printf(" wire    %s, %s; machines of one speed\n", w.Exchange, often)
	for _, w := range plans {
		if len(plans) == 1 && w.Machines <= mostListed {
			for i := range w.Machines {
				fmt.Printf("         machine %-3d up %9s  down %9s\n", i+1, megabytes(w.Up[i]), megabytes(w.Down[i]))
			}
		}
		fmt.Printf("         %d machines: %s in all; the busiest up %s, down %s: %s at 100 Mbit/s, %s at 1 Gbit/s\n", w.Machines,
			megabytes(w.Total()), megabytes(slices.Max(w.Up)), megabytes(slices.Max(w.Down)), link(w, 100e6), link(w, 1e9))
	}
}

// link is how long the busiest machine's bytes take at so many bits a second each way.
func link(w train.WirePlan, bits float64) string { return seconds(8 * float64(w.Most()) / bits) }

// megabytes is in decimal units, as links are measured.
func megabytes(n int64) string {
	if n >= 1e9 {
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	}
	return fmt.Sprintf("%.2f MB", float64(n)/1e6)
}

func printMemory(plans []train.MemoryPlan, variants []train.Variant) {
	m := plans[0]
	fmt.Printf(" memory  %s at the peak\n", report.Bytes(m.Peak))
	roles := slices.SortedFunc(maps.Keys(m.ByRole), func(a, b string) int { return int(min(1, max(-1, m.ByRole[b]-m.ByRole[a]))) })
	for _, role := range roles {
		fmt.Printf("         %-12s %10s\n", role, report.Bytes(m.ByRole[role]))
	}
	if m.Host > 0 {
		fmt.Printf(" host    %s of host memory besides: the states before a step (optim.in_backward)\n", report.Bytes(m.Host))
	}
	for _, m := range plans {
		fmt.Printf(" card    %s\n", m)
		if m.Fit != "" {
			fmt.Printf("         %s\n", m.Fit)
		}
	}
	for _, v := range variants {
		fmt.Printf(" needs   %-10s %s\n", smallestCard(v.Peak), v)
	}
}
