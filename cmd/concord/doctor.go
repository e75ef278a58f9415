package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"concord/gpu"
	"concord/internal/doctor"
	"concord/internal/train"
)

type doctorCmd struct {
	List    bool   `help:"Only list the adapters."`
	All     bool   `help:"Test every adapter, not only the one that is chosen."`
	Backend string `enum:",vulkan,metal,dx12,gl" default:"" help:"Only adapters of this backend: vulkan, metal, dx12 or gl." placeholder:"NAME"`
	JSON    bool   `help:"Print as JSON."`
	Out     string `help:"Write all of it to this file as JSON, to be attached to a report." placeholder:"FILE" type:"path"`
	deviceFlags
}

// doctorReport is the output of doctor --json.
type doctorReport struct {
	Version  train.Version    `json:"version"`
	System   string           `json:"system"`
	Drivers  []string         `json:"drivers"` // as the system names them
	Time     time.Time        `json:"time"`
	Adapters []doctor.Adapter `json:"adapters"`
	Budget   int64            `json:"memory_budget_bytes"` // on the chosen adapter
	Cache    doctor.Folder    `json:"cache"`
	Tests    []adapterTests   `json:"tests,omitempty"`
	OK       bool             `json:"ok"`
	Error    string           `json:"error,omitempty"`
}

// adapterTests is the self-test of one adapter.
type adapterTests struct {
	Adapter  int              `json:"adapter"` // index
	Name     string           `json:"name"`
	Passed   int              `json:"passed"`
	Failed   int              `json:"failed"`
	Verdicts []doctor.Verdict `json:"verdicts"`
	Speed    *doctor.Speed    `json:"speed,omitempty"` // none when the tests fail
	Advice   []string         `json:"advice,omitempty"`
	Error    string           `json:"error,omitempty"` // the adapter does not open
}

func (c *doctorCmd) Run() error {
	options, err := c.adapter(c.Backend)
	if err != nil {
		return err
	}
	r := doctorReport{Version: train.BuildVersion(), System: doctor.System(), Drivers: doctor.Drivers(), Time: time.Now().UTC(),
		Cache: doctor.CacheFolder()}
	r.Adapters, r.Budget, err = doctor.Adapters(options)
	err = train.DeviceError(err)
	if !c.JSON {
		printMachine(r)
	}
	if err == nil && !c.List {
		options.Log = func(s string) { fmt.Fprintln(os.Stderr, "concord:", s) }
		err = c.test(&r, options)
	}
	if r.OK = err == nil; err != nil {
		r.Error = err.Error()
	}
	if c.JSON {
		if perr := printJSON(r); perr != nil {
			return perr
		}
	}
	if c.Out != "" {
		if werr := writeReport(c.Out, r); werr != nil {
			return errors.Join(err, werr)
		}
		fmt.Fprintf(os.Stderr, "concord: written to %s: attach this file to a report\n", c.Out)
	}
	return err
}

// writeReport writes r whole or not at all.
func writeReport(path string, r doctorReport) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".doctor-*")
	if err != nil {
		return fmt.Errorf("doctor: --out: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("doctor: --out: %w", err)
	}
	return nil
}

// adapter is the options that open the adapter that the flags name, without the rest of a run.
func (d deviceFlags) adapter(backend string) (gpu.Options, error) {
	o, err := d.options()
	return gpu.Options{Adapter: o.Adapter, Backend: backend, MemoryBudget: o.MemoryBudget}, err
}

// test runs the self-test on the chosen adapter, or on all.
func (c *doctorCmd) test(r *doctorReport, o gpu.Options) error {
	failed, kernels, memory := 0, 0, 0
	for _, a := range r.Adapters {
		if !a.Chosen && !c.All {
			continue
		}
		o.Adapter = strconv.Itoa(a.Index)
		t := adapterTests{Adapter: a.Index, Name: a.Name}
		if !c.JSON {
			fmt.Printf("\nself-test on adapter %d, %s: every kernel, forward and backward, against the CPU, twice\n", a.Index, a.Name)
		}
		verdicts, err := doctor.Run(o, doctor.Tests(), func(v doctor.Verdict) {
			if v.OK {
				t.Passed++
			} else {
				t.Failed++
			}
			if v.Memory {
				memory++
			}
			if !c.JSON {
				printVerdict(v)
			}
		})
		if t.Verdicts = verdicts; err != nil {
			t.Error = err.Error()
			t.Failed = 1
			if !c.JSON {
				fmt.Printf("  FAILED  %v\n", err)
			}
		}
		if t.Failed > 0 {
			t.Advice = doctor.Advise(a, r.Adapters, append(verdicts, doctor.Verdict{OK: err == nil, Error: t.Error}))
		} else if s, err := doctor.MeasureSpeed(o); err == nil {
			t.Speed = &s
		}
		if !c.JSON {
			printEnd(t)
		}
		failed, kernels = failed+t.Failed, kernels+t.Passed+t.Failed
		r.Tests = append(r.Tests, t)
	}
	if failed > 0 && failed == memory {
		return train.DeviceError(fmt.Errorf("self-test: %d of %d kernels could not be tested in this memory budget\n  give more "+
			"with --memory", failed, kernels))
	}
	if failed > 0 {
		return train.DeviceError(fmt.Errorf("self-test: %d of %d kernels FAILED: results of this device and driver cannot be "+
			"trusted\n  update the driver, or choose another adapter with --adapter or device.adapter; the advice above has more", failed, kernels))
	}
	if !c.JSON {
		fmt.Printf("\nall %d kernels are right, and give the same bits twice\n", kernels)
	}
	return nil
}
