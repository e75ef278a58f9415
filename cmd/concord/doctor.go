package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"concord/gpu"
	"concord/internal/doctor"
	"concord/internal/train"
)

type doctorCmd struct {
	List    bool   `help:"Only list the adapters."`
	All     bool   `help:"Test every adapter, not only the one that is chosen."`
	Backend string `enum:",vulkan,metal,dx12,gl" default:"" help:"${doctor_backend}" placeholder:"NAME"`
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
