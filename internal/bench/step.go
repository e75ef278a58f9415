package bench

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"concord/gpu"
	"concord/internal/fault"
	"concord/internal/train"
)

// StepOptions are the settings of Step.
type StepOptions struct {
	Methods []string  // of the run file's [objective]; the others are compared with the first
	Steps   int       // measured, of each method
	Warmup  int       // before, of each method: kernels are compiled and chosen in them
	Profile bool      // also seconds by phase, which slows the steps down
	Warn    io.Writer // warnings of the device; nil discards them
}

// MethodRate is the measurement of one method.
type MethodRate struct {
	StepSecondsMedian float64            `json:"step_seconds_median"`
	StepSecondsMin    float64            `json:"step_seconds_min"`
	TokensPerSecond   float64            `json:"tokens_per_second"` // of the batch, padding included, at the median
	PeakBytes         int64              `json:"peak_bytes"`        // device memory, during the measured steps
	BytesByRole       map[string]int64   `json:"bytes_by_role"`     // at that peak
	TouchedBytes      int64              `json:"touched_bytes"`     // by a step: see gpu.Device.Touched
	PhaseSeconds      map[string]float64 `json:"phase_seconds,omitempty"`
	Seconds           []float64          `json:"step_seconds"` // every measured step
	// CPUSeconds are those of every measured step, of all threads of this process: on a
	// software rasterizer they measure the kernels, whether the machine is busy or not. None
	// on a GPU, and where the system does not tell.
	CPUSeconds []float64 `json:"step_cpu_seconds,omitempty"`
}

// StepRatio compares two methods.
type StepRatio struct {
	Time       float64 `json:"time"`                 // of the medians
	TimePaired float64 `json:"time_paired"`          // median of the ratios of steps made right after each other
	CPUPaired  float64 `json:"cpu_paired,omitempty"` // the same of CPU seconds, where they were measured
	Memory     float64 `json:"memory"`               // of the peaks
	Touched    float64 `json:"touched"`              // of the bytes touched
}

// StepResult is the comparison.
type StepResult struct {
	Machine
	RunFile string                `json:"run_file"`
	Steps   int                   `json:"steps"`
	Warmup  int                   `json:"warmup"`
	Tokens  int                   `json:"tokens_per_step"`
	Scope   string                `json:"scope"`
	Order   []string              `json:"order"`
	Methods map[string]MethodRate `json:"methods"`
	Ratios  map[string]StepRatio  `json:"ratios"` // "pcgrad/mean"
}

// Step trains with each method on a device of its own, on the same batches, one
// step in turn. Nothing is written. Errors are those of train.Open and
// Trainer.Step, and a *fault.Usage for methods that make no sense.
func Step(run train.Varied, o StepOptions) (*StepResult, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	var variants []variant
	for _, m := range o.Methods {
		variants = append(variants, variant{name: m, run: withMethod(run, m)})
	}
	return compare(run, variants, o)
}

// compare makes steps of every variant in turns; ratios are to the first.
func compare(run train.Varied, variants []variant, o StepOptions) (*StepResult, error) {
	if o.Warn == nil {
		o.Warn = io.Discard
	}
	o.Warn = &distinct{to: o.Warn, seen: map[string]bool{}}
	runs, err := openRuns(variants, o.Warn)
	defer func() {
		for _, r := range runs {
			r.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	for i := range o.Warmup + o.Steps {
		for _, r := range runs {
			if i == o.Warmup {
				r.trainer.Device().Profile(o.Profile)
				r.trainer.Device().ResetPeak()
				r.touched = r.trainer.Device().Touched()
			}
			if err := r.step(i >= o.Warmup); err != nil {
				return nil, fmt.Errorf("%s, step %d: %w", r.method, i+1, err)
			}
		}
	}
	out := &StepResult{Machine: NewMachine(runs[0].trainer.Device().Info()), RunFile: run.File(), Steps: o.Steps, Warmup: o.Warmup,
		Tokens: runs[0].tokens, Scope: string(run.Objective.Scope), Methods: map[string]MethodRate{}, Ratios: map[string]StepRatio{}}
	for _, r := range runs {
		out.Order = append(out.Order, r.method)
		out.Methods[r.method] = r.rate(o)
		if r != runs[0] {
			out.Ratios[r.method+"/"+runs[0].method] = ratio(out.Methods[r.method], out.Methods[runs[0].method])
		}
	}
	return out, nil
}

// distinct passes every line once: several devices give the same warnings.
type distinct struct {
	to   io.Writer
	seen map[string]bool
}

// Write implements io.Writer for whole lines.
func (d *distinct) Write(p []byte) (int, error) {
	if d.seen[string(p)] {
		return len(p), nil
	}
	d.seen[string(p)] = true
	return d.to.Write(p)
}

func (o StepOptions) check() error {
	fail := func(flag, msg string) error { return &fault.Usage{Where: flag, Msg: msg} }
	switch {
	case len(o.Methods) == 0:
		return fail("--methods", "no method given, e.g. --methods mean,pcgrad")
	case o.Steps < 1:
		return fail("--steps", fmt.Sprintf("%d steps cannot be measured", o.Steps))
	case o.Warmup < 1:
		return fail("--warmup", "at least one step is needed, as kernels are compiled in it")
	}
	for i, m := range o.Methods {
		if slices.Contains(o.Methods[:i], m) {
			return fail("--methods", fmt.Sprintf("%q is given twice", m))
		}
	}
	return nil
}

// variant is one way to make steps.
type variant struct {
	name     string
	run      train.Varied
	ownRows  bool   // see train.OpenOwnRows
	separate string // Gram method for steps of M separate backward passes; "" makes ordinary steps
}

// run is one variant's training.
type run struct {
	method   string
	trainer  *train.Trainer
	separate *separate // nil for ordinary steps
	tokens   int
	touched  int64 // before the measured steps
	seconds  []float64
	cpu      []float64 // see MethodRate.CPUSeconds
}

func (r *run) close() {
	if r.separate != nil {
		r.separate.close()
	}
	r.trainer.Close()
}

// openRuns opens a trainer for every variant; on an error it returns those that
// are open already.
func openRuns(variants []variant, warn io.Writer) ([]*run, error) {
	var runs []*run
	for _, v := range variants {
		t, err := v.run.Open(warn, v.ownRows)
		if err != nil {
			if fault.IsUsage(err) {
				return runs, err
			}
			return runs, fmt.Errorf("%s: %w", v.name, err)
		}
		r := &run{method: v.name, trainer: t}
		runs = append(runs, r)
		if v.separate != "" {
			if r.separate, err = newSeparate(t.Replica, v.separate); err != nil {
				return runs, fmt.Errorf("%s: %w", v.name, err)
			}
		}
	}
	return runs, nil
}

// step trains one step. The phases "host" and "" are this function's: the time
// between the device's work of a step, and that between two steps.
func (r *run) step(measured bool) error {
	dev := r.trainer.Device()
	mark(dev, phaseHost)
	rasterizer := dev.Info().Type == gpu.CPU
	if rasterizer {
		if err := dev.Sync(); err != nil { // the other method's work is not this one's
			return err
		}
	}
	start, cpu := time.Now(), cpuSeconds()
	step := r.trainer.Step
	if r.separate != nil {
		step = r.separate.step
	}
	s, err := step(context.Background())
	if err != nil {
		return err
	}
	if rasterizer {
		if err := dev.Sync(); err != nil {
			return err
		}
	}
	if measured {
		r.seconds = append(r.seconds, time.Since(start).Seconds())
		if used := cpuSeconds() - cpu; rasterizer && used > 0 {
			r.cpu = append(r.cpu, used)
		}
	}
	r.tokens = s.Positions
	mark(dev, phaseIdle)
	return nil
}

const (
	phaseHost = "host" // the batch's preparation and upload, and all that no kernel does
	phaseIdle = "idle" // other methods' steps; not reported
)

// mark begins a phase now, not when the next work is submitted.
func mark(dev *gpu.Device, phase string) {
	dev.Span(phase)
	dev.Flush()
}

func (r *run) rate(o StepOptions) MethodRate {
	mem := r.trainer.Memory()
	out := MethodRate{StepSecondsMedian: median(r.seconds), StepSecondsMin: slices.Min(r.seconds), Seconds: r.seconds, CPUSeconds: r.cpu,
		PeakBytes: mem.Peak, BytesByRole: map[string]int64{}, TouchedBytes: (r.trainer.Device().Touched() - r.touched) / int64(o.Steps)}
	out.TokensPerSecond = float64(r.tokens) / out.StepSecondsMedian
	for role, m := range mem.Roles {
		out.BytesByRole[string(role)] = m.AtPeak
	}
	if o.Profile {
		out.PhaseSeconds = map[string]float64{}
		for phase, d := range r.trainer.Device().Spans() {
			if phase != phaseIdle {
				out.PhaseSeconds[phase] = d.Seconds() / float64(o.Steps)
			}
		}
	}
	return out
}

func ratio(a, b MethodRate) StepRatio {
	r := StepRatio{Time: a.StepSecondsMedian / b.StepSecondsMedian, TimePaired: pairedRatio(a.Seconds, b.Seconds),
		Memory:  float64(a.PeakBytes) / float64(b.PeakBytes),
		Touched: float64(a.TouchedBytes) / float64(b.TouchedBytes)}
	if len(a.CPUSeconds) == len(a.Seconds) && len(b.CPUSeconds) == len(a.Seconds) {
		r.CPUPaired = pairedRatio(a.CPUSeconds, b.CPUSeconds)
	}
	return r
}

// pairedRatio is the median of the ratios of steps made right after each other.
func pairedRatio(a, b []float64) float64 {
	paired := make([]float64, len(a))
	for i := range paired {
		paired[i] = a[i] / b[i]
	}
	return median(paired)
}
