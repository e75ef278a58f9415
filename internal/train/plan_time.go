package train

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"concord/internal/config"
	"concord/internal/fault"
	"concord/internal/rundir"
)

// StepTime is how long a step takes, as it was measured.
type StepTime struct {
	Seconds float64 `json:"seconds_per_step"`
	Steps   int     `json:"steps"` // measured
	Device  string  `json:"device"`
	Run     string  `json:"run,omitempty"`  // the folder of the run whose own steps these are; "": measured now
	Whole   float64 `json:"seconds_of_run"` // its steps alone, no evaluation and no checkpoint
}

// Recorded is the time of a step by the run's own folder, nil where it has made none. note says why a
// folder that is there does not count.
func (p *Planner) Recorded() (t *StepTime, note string, err error) {
	dir := p.cfg.OutDir()
	if !rundir.IsRun(dir) {
		return nil, "", nil
	}
	s, err := StatusOf(dir)
	if err != nil || !(s.StepTime > 0) {
		return nil, "", err
	}
	l, err := readLock(dir)
	if err != nil {
		return nil, "", err
	}
	if section := otherRun(l.Config, p.cfg); section != "" {
		return nil, fmt.Sprintf("%s has other settings in [%s]: its time a step is not this run's", dir, section), nil
	}
	return &StepTime{Seconds: s.StepTime, Steps: s.Step, Device: s.Device, Run: dir, Whole: s.StepTime * float64(p.Check.Steps)}, "", nil
}

// otherRun is otherSteps of a run's settings, which may be any that memory.fit chooses, and its run file's.
func otherRun(run, file *config.Config) string {
	if file.Memory.Fit != config.FitAuto {
		return otherSteps(run, file)
	}
	section := ""
	for i, s := range append([]smaller{{}}, smallerSteps(file)...) {
		chosen := s.of(file)
		chosen.Memory.Fit = config.FitOff
		other := otherSteps(run, chosen)
		if other == "" {
			return ""
		}
		if i == 0 {
			section = other
		}
	}
	return section
}

// otherSteps names a section of the run file in which steps of a and b differ, "" for none.
func otherSteps(a, b *config.Config) string {
	for _, s := range []struct {
		name string
		a, b any
	}{{"model", a.Model, b.Model}, {"adapter", a.Adapter, b.Adapter}, {"batch", a.Batch, b.Batch}, {"objective", a.Objective, b.Objective},
		{"optim", a.Optim, b.Optim}, {"memory", a.Memory, b.Memory}, {"device", a.Device, b.Device}, {"cluster", a.Cluster, b.Cluster}} {
		x, err := json.Marshal(s.a)
		y, err2 := json.Marshal(s.b)
		if err != nil || err2 != nil || string(x) != string(y) {
			return s.name
		}
	}
	return ""
}

// A measurement is so many steps after one that compiles kernels, fewer where they take long.
const (
	measuredSteps = 5
	measuredFor   = 30 * time.Second
)

// Measure makes a few steps of the run on this machine's device, and writes nothing. Of a run on many
// machines they are those of one machine that computes the whole batch.
func (p *Planner) Measure(ctx context.Context, warn io.Writer) (*StepTime, error) {
	cfg := *p.cfg
	cfg.Cluster.Listen = ""
	t, err := Open(&cfg, warn)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	var seconds []float64
	for began := time.Now(); len(seconds) < 1+measuredSteps && (len(seconds) < 2 || time.Since(began) < measuredFor); {
		start := time.Now()
		if _, err := t.Step(ctx); err != nil {
			return nil, err
		}
		if err := t.Engine.Dev.Sync(); err != nil {
			return nil, fault.Classify(err)
		}
		seconds = append(seconds, time.Since(start).Seconds())
	}
	seconds = seconds[1:]
	slices.Sort(seconds)
	median := (seconds[(len(seconds)-1)/2] + seconds[len(seconds)/2]) / 2
	return &StepTime{Seconds: median, Steps: len(seconds), Device: t.Engine.Dev.Info().Name, Whole: median * float64(p.Check.Steps)}, nil
}
