package main

import (
	"fmt"
	"strconv"

	"concord/gpu"
	"concord/internal/doctor"
	"concord/internal/stepcheck"
	"concord/internal/train"
)

// adapterTests is the self-test of one adapter.
type adapterTests struct {
	Adapter  int                 `json:"adapter"` // index
	Name     string              `json:"name"`
	Passed   int                 `json:"passed"` // kernels and training steps
	Failed   int                 `json:"failed"`
	Verdicts []doctor.Verdict    `json:"verdicts"`
	Steps    []stepcheck.Verdict `json:"training_steps,omitempty"`
	Speed    *doctor.Speed       `json:"speed,omitempty"` // none when the tests fail
	Advice   []string            `json:"advice,omitempty"`
	Error    string              `json:"error,omitempty"` // the adapter does not open

	memory int // of those that failed, for lack of memory
}

// count adds a result to the sums.
func (t *adapterTests) count(ok, memory bool) {
	if ok {
		t.Passed++
		return
	}
	t.Failed++
	if memory {
		t.memory++
	}
}

// test runs the self-test on the chosen adapter, or on all.
func (c *doctorCmd) test(r *doctorReport, o gpu.Options) error {
	failed, memory, all, steps := 0, 0, 0, 0
	for _, a := range r.Adapters {
		if !a.Chosen && !c.All {
			continue
		}
		o.Adapter = strconv.Itoa(a.Index)
		t := c.testAdapter(a, r.Adapters, o)
		failed, memory, all, steps = failed+t.Failed, memory+t.memory, all+t.Passed+t.Failed, steps+len(t.Steps)
		r.Tests = append(r.Tests, t)
	}
	if failed > 0 && failed == memory {
		return train.DeviceError(fmt.Errorf("self-test: %d of %d tests could not be made in this memory budget\n"+
			"  give more with --memory", failed, all))
	}
	if failed > 0 {
		return train.DeviceError(fmt.Errorf("self-test: %d of %d tests FAILED: results of this device and driver cannot be trusted\n"+
			"  update the driver, or choose another adapter with --adapter or device.adapter; the advice above has more", failed, all))
	}
	if !c.JSON {
		fmt.Printf("\nall %d kernels and %d whole training steps are right, and give the same bits twice\n", all-steps, steps)
	}
	return nil
}

// testAdapter runs the self-test on adapter a of all, which o opens.
func (c *doctorCmd) testAdapter(a doctor.Adapter, all []doctor.Adapter, o gpu.Options) adapterTests {
	t := adapterTests{Adapter: a.Index, Name: a.Name}
	if !c.JSON {
		fmt.Printf("\nself-test on adapter %d, %s: every kernel, forward and backward, against the CPU, twice\n", a.Index, a.Name)
	}
	var err error
	t.Verdicts, err = doctor.Run(o, doctor.Tests(), func(v doctor.Verdict) {
		t.count(v.OK, v.Memory)
		if !c.JSON {
			printVerdict(v)
		}
	})
	if err == nil {
		t.Steps, err = stepcheck.Run(o)
	}
	for _, v := range t.Steps {
		t.count(v.OK, v.Memory)
	}
	if !c.JSON {
		printTrainingSteps(t.Steps)
	}
	if err != nil {
		t.Error = err.Error()
		t.count(false, false)
		if !c.JSON {
			fmt.Printf("  FAILED  %v\n", err)
		}
	}
	if t.Failed > 0 {
		t.Advice = doctor.Advise(a, all, t.all())
	} else if s, err := doctor.MeasureSpeed(o); err == nil {
		t.Speed = &s
	}
	if !c.JSON {
		printEnd(t)
	}
	return t
}

// all are the verdicts to advise on: those of the kernels, of the steps and of the adapter.
func (t *adapterTests) all() []doctor.Verdict {
	out := append([]doctor.Verdict{}, t.Verdicts...)
	for _, v := range t.Steps {
		out = append(out, doctor.Verdict{Kernel: "training step", OK: v.OK, Memory: v.Memory, Error: v.Error})
	}
	return append(out, doctor.Verdict{OK: t.Error == "", Error: t.Error})
}
