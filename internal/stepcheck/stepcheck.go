// Package stepcheck makes a whole step of training on a device, as a run makes it, and
// compares it with one in float64 on the CPU: a tiny random model in three languages,
// UPGrad on the Gram by layer, clipping and AdamW. It finds kernels that are right one by
// one and wrong together.
package stepcheck

import (
	"errors"
	"fmt"
	"time"

	"concord/gpu"
	"concord/internal/doctor"
	"concord/internal/optest"
	"concord/tensor"
)

// Figure is how far one kind of result of the device is from the CPU's.
type Figure struct {
	Name   string  `json:"name"`
	NMSE   float64 `json:"nmse"`  // Σ(got − want)² / Σwant² of the worst part
	Bound  float64 `json:"bound"` // the largest NMSE that is right
	Part   string  `json:"part"`  // the worst: a language, a bucket, a parameter
	Values int     `json:"values"`
}

// OK says that the figure is within its bound.
func (f Figure) OK() bool { return f.NMSE <= f.Bound }

// Verdict is the result of the step of one model.
type Verdict struct {
	Model   string   `json:"model"`
	OK      bool     `json:"ok"`
	Error   string   `json:"error,omitempty"`
	Memory  bool     `json:"out_of_memory,omitempty"` // not wrong: the budget does not allow the step
	Figures []Figure `json:"figures,omitempty"`
	Repeats bool     `json:"repeats"` // a second step from the same start gave the same bits
	Seconds float64  `json:"seconds"` // of both steps on the device and the one on the CPU
}

// Run checks the step of a model with tied embeddings and of one without on the adapter
// that o names. A step that fails is a verdict; the error is that of opening the device.
func Run(o gpu.Options) ([]Verdict, error) {
	var out []Verdict
	for _, tied := range []bool{true, false} {
		dev, err := gpu.Open(o) // a step that breaks the device must not fail the next
		if err != nil {
			return out, err
		}
		p := newProblem(tied)
		out = append(out, p.verdict(tensor.NewEngine(dev, tensor.Options{NoAutotune: true})))
		dev.Close()
	}
	return out, nil
}

func (p *problem) verdict(e *tensor.Engine) Verdict {
	start, v := time.Now(), Verdict{Model: p.name}
	err := p.check(e, &v)
	if v.OK, v.Seconds = err == nil, time.Since(start).Seconds(); err != nil {
		v.Error, v.Memory = err.Error(), errors.Is(err, gpu.ErrOutOfMemory)
	}
	return v
}

// check makes the step twice on the device and once on the CPU.
func (p *problem) check(e *tensor.Engine, v *Verdict) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	first, err := p.onDevice(e)
	if err != nil {
		return err
	}
	second, err := p.onDevice(e)
	if err != nil {
		return err
	}
	want, err := p.onCPU(first.groups)
	if err != nil {
		return err
	}
	var errs []error
	for i, k := range kinds {
		f := compare(k, first.parts[i], want.parts[i])
		v.Figures = append(v.Figures, f)
		if !f.OK() {
			errs = append(errs, fmt.Errorf("%s: NMSE %.3g > %.3g, worst in %s", f.Name, f.NMSE, f.Bound, f.Part))
		}
	}
	at := differs(first, second)
	if v.Repeats = at == ""; !v.Repeats {
		errs = append(errs, fmt.Errorf("two equal steps differ in bits, first in %s: %w", at, doctor.ErrNotRepeatable))
	}
	return errors.Join(errs...)
}

// kind is one kind of a step's results. The bounds leave a factor of 100 to the errors that float32
// arithmetic differs by: 1e-7 an operation, squared, grown over the layers.
type kind struct {
	name  string
	bound float64
}

// kinds are the results in the order in which a step makes them.
var kinds = [...]kind{
	{"losses by language", 1e-11},
	{"Grams by bucket", 1e-9},
	{"combined gradients", 1e-9},
	{"change of the weights", 1e-8},
	{"updated weights", 1e-11},
}

// part is the values of one parameter, of one bucket or of one language.
type part struct {
	name   string
	values []float32
}

// result is a step's parts by kind; those of the device and of the CPU are in one order.
type result struct {
	parts  [len(kinds)][]part
	groups []group
	clip   float64 // the factor by which clipping scaled the gradient
}

// group is the names of the parameters that are resolved together.
type group struct {
	name   string
	params []string
}

// compare is the worst part's error. A part that is not finite is infinitely wrong, as the
// largest number, which JSON has.
func compare(k kind, got, want []part) Figure {
	f := Figure{Name: k.name, Bound: k.bound, NMSE: -1}
	for i, w := range want {
		n := min(optest.NMSE(got[i].values, w.values), 1e308)
		if f.Values += len(w.values); n > f.NMSE {
			f.NMSE, f.Part = n, w.name
		}
	}
	return f
}

// differs names the first part whose bits are not the same in both, "" for none.
func differs(a, b result) string {
	for k, parts := range a.parts {
		for i, p := range parts {
			if optest.Bits(p.values, b.parts[k][i].values) >= 0 {
				return kinds[k].name + ", " + p.name
			}
		}
	}
	return ""
}
