package doctor

import (
	"errors"
	"fmt"
	"time"

	"concord/gpu"
	"concord/tensor"
)

// Verdict is the result of the tests of one kernel.
type Verdict struct {
	Kernel  string  `json:"kernel"` // stem of the WGSL file
	OK      bool    `json:"ok"`
	Error   string  `json:"error,omitempty"`
	Memory  bool    `json:"out_of_memory,omitempty"` // not wrong: the budget does not allow the test
	Seconds float64 `json:"seconds"`                 // with the compilation
	// NMSE is the largest error of a result, Σ(got − want)² / Σwant²; of a Gram, the
	// mean square of the errors in units of √(GᵢᵢGⱼⱼ). Values counts the numbers compared.
	NMSE   float64 `json:"nmse"`
	Values int     `json:"values"`
	// Repeats says that a second run gave the same bits.
	Repeats bool `json:"repeats"`
}

// Run runs tests, each twice, on the adapter that o names and returns one verdict per kernel,
// in the order of the tests; tell, which may be nil, gets each as soon as it is
// known. A test that fails, panics or breaks the device is a verdict, never an
// end: the kernels after it get a new device. The error is that of opening the
// first device.
func Run(o gpu.Options, tests []Test, tell func(Verdict)) ([]Verdict, error) {
	r := &runner{options: o}
	if err := r.open(); err != nil {
		return nil, err
	}
	defer func() { r.close() }()
	var order []string
	byKernel := map[string][]Test{}
	for _, t := range tests {
		if byKernel[t.Kernel] == nil {
			order = append(order, t.Kernel)
		}
		byKernel[t.Kernel] = append(byKernel[t.Kernel], t)
	}
	var out []Verdict
	for _, kernel := range order {
		v := r.kernel(kernel, byKernel[kernel])
		out = append(out, v)
		if tell != nil {
			tell(v)
		}
	}
	return out, nil
}

// runner holds the device of the tests that follow.
type runner struct {
	options gpu.Options
	engine  *Probe // nil: to be opened
}

func (r *runner) open() error {
	dev, err := gpu.Open(r.options)
	if err != nil {
		return err
	}
	// Without measuring: the tests name the variants that they are about.
	r.engine = newProbe(tensor.NewEngine(dev, tensor.Options{NoAutotune: true}))
	return nil
}

func (r *runner) close() {
	if r.engine != nil {
		r.engine.Dev.Close()
		r.engine = nil
	}
}

// kernel runs the tests of one kernel, twice if they pass.
func (r *runner) kernel(name string, tests []Test) Verdict {
	start := time.Now()
	v := Verdict{Kernel: name}
	first, err := r.tests(tests, &v)
	if err == nil {
		var second uint64
		if second, err = r.tests(tests, &v); err == nil && first != second {
			err = fmt.Errorf("two runs differ in bits, though both are within the bound: %w", ErrNotRepeatable)
		}
		v.Repeats = err == nil
	}
	v.OK, v.Seconds = err == nil, time.Since(start).Seconds()
	if err != nil {
		v.Error, v.Memory = err.Error(), errors.Is(err, gpu.ErrOutOfMemory)
	}
	return v
}

// ErrNotRepeatable means that a device does not give the same bits twice.
var ErrNotRepeatable = errors.New("the device does not repeat itself")

// tests runs the tests of one kernel once, notes their figures in v and returns the
// hash of the device's results.
func (r *runner) tests(tests []Test, v *Verdict) (bits uint64, err error) {
	var errs []error
	v.NMSE, v.Values = 0, 0
	for _, t := range tests {
		errs = append(errs, r.test(t))
		if r.engine == nil {
			continue // broken: there are no figures
		}
		s := r.engine.seen
		bits = bits*31 + s.bits.Sum64()
		v.NMSE, v.Values = max(v.NMSE, s.nmse), v.Values+s.values
	}
	return bits, errors.Join(errs...)
}

// test runs one test. The device is waited for, so that an error which the
// driver reports late is charged to this kernel, and given up after an error
// that would hide those of other kernels.
func (r *runner) test(t Test) (err error) {
	if r.engine == nil {
		if err := r.open(); err != nil {
			return fmt.Errorf("not tested, because the device did not open again after a failure: %w", err)
		}
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
			r.close() // the commands and the memory that the test left are unknown
		}
	}()
	r.engine.begin()
	err = t.Run(r.engine)
	if late := r.engine.Dev.Sync(); late != nil {
		r.close()
		if err == nil {
			err = late
		}
	}
	return err
}
