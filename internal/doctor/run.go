package doctor

import (
	"errors"
	"fmt"
	"time"

	"concord/gpu"
	"concord/tensor"
)

// Verdict is what the tests of one kernel came to.
type Verdict struct {
	Kernel  string  `json:"kernel"` // stem of the WGSL file
	OK      bool    `json:"ok"`
	Error   string  `json:"error,omitempty"`
	Memory  bool    `json:"out_of_memory,omitempty"` // not wrong: the budget does not allow the test
	Seconds float64 `json:"seconds"`                 // with the compilation
}

// Run runs tests on the adapter that o names and returns one verdict per kernel,
// in the order of the tests; tell, which may be nil, gets each as soon as it is
// known. A test that fails, panics or breaks the device is a verdict, never an
// end: the kernels behind it get a new device. The error is that of opening the
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
	engine  *tensor.Engine // nil: to be opened
}

func (r *runner) open() error {
	dev, err := gpu.Open(r.options)
	if err != nil {
		return err
	}
	// Without measuring: the tests name the variants that they are about.
	r.engine = tensor.NewEngine(dev, tensor.Options{NoAutotune: true})
	return nil
}

func (r *runner) close() {
	if r.engine != nil {
		r.engine.Dev.Close()
		r.engine = nil
	}
}

// kernel runs the tests of one kernel.
func (r *runner) kernel(name string, tests []Test) Verdict {
	start := time.Now()
	var errs []error
	for _, t := range tests {
		errs = append(errs, r.test(t))
	}
	v := Verdict{Kernel: name, OK: true, Seconds: time.Since(start).Seconds()}
	if err := errors.Join(errs...); err != nil {
		v.OK, v.Error, v.Memory = false, err.Error(), errors.Is(err, gpu.ErrOutOfMemory)
	}
	return v
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
			r.close() // what the test recorded or left allocated is unknown
		}
	}()
	err = t.Run(r.engine)
	if late := r.engine.Dev.Sync(); late != nil {
		r.close()
		if err == nil {
			err = late
		}
	}
	return err
}
