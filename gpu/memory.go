package gpu

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
)

// Role says what a buffer is for, so that memory is reported by purpose.
type Role string

// The roles.
const (
	RoleWeights     Role = "weights"
	RoleGradients   Role = "gradients"
	RoleRows        Role = "rows" // per-language gradient rows
	RoleOptimizer   Role = "optimizer"
	RoleActivations Role = "activations"
	RoleData        Role = "data"
	RoleScratch     Role = "scratch"
	RoleStaging     Role = "staging" // readback, upload and parameter buffers of this package
)

// ErrOutOfMemory means that the memory budget refused an allocation, or that the
// driver did.
var ErrOutOfMemory = errors.New("out of GPU memory")

// Memory is the state of the budget in bytes. Peak is the highest Current since
// Open or ResetPeak. Memory of released buffers counts until the GPU is done with them.
type Memory struct {
	Budget, Current, Peak int64
	Roles                 map[Role]RoleMemory
}

// RoleMemory is one role's share. Peak is the role's own highest value, AtPeak
// its value at the moment of the total's peak.
type RoleMemory struct{ Current, Peak, AtPeak int64 }

// account is the bookkeeping behind Memory. Guarded by Device.mu.
type account struct {
	budget, current, peak int64
	roles                 map[Role]RoleMemory
}

func (a *account) left() int64 { return a.budget - a.current }

func (a *account) add(role Role, n int64) {
	r := a.roles[role]
	r.Current += n
	r.Peak = max(r.Peak, r.Current)
	a.roles[role] = r
	if a.current += n; a.current > a.peak {
		a.peak = a.current
		a.markPeak()
	}
}

func (a *account) remove(role Role, n int64) {
	r := a.roles[role]
	r.Current -= n
	a.roles[role] = r
	a.current -= n
}

func (a *account) markPeak() {
	for k, r := range a.roles {
		r.AtPeak = r.Current
		a.roles[k] = r
	}
}

// refusal explains why n bytes for label were not allocated.
func (a *account) refusal(role Role, label string, n int64) error {
	return fmt.Errorf("gpu: allocate %q (%s): %w: %d bytes asked, %d of %d used; raise [device] memory, or reduce the batch, the sequence length or the bucket size",
		label, role, ErrOutOfMemory, n, a.current, a.budget)
}

// Memory returns a snapshot of the budget.
func (d *Device) Memory() Memory {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Memory{Budget: d.mem.budget, Current: d.mem.current, Peak: d.mem.peak, Roles: maps.Clone(d.mem.roles)}
}

// ResetPeak starts all peaks again from the current values.
func (d *Device) ResetPeak() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mem.peak = d.mem.current
	for k, r := range d.mem.roles {
		r.Peak = r.Current
		d.mem.roles[k] = r
	}
	d.mem.markPeak()
}

// defaultBudget is used when Options.MemoryBudget is 0. WebGPU cannot say how
// much memory an adapter has, so: a software rasterizer gets 75 % of the
// machine's (or container's) memory, a GPU that may share it 50 %, a discrete
// GPU 8 GiB; unknown machines count as having 8 GiB.
func defaultBudget(t AdapterType) int64 {
	const gib = 1 << 30
	ram := physicalMemory()
	if c := containerMemory(); c > 0 && (ram == 0 || c < ram) {
		ram = c
	}
	if ram == 0 {
		ram = 8 * gib
	}
	switch t {
	case CPU:
		return ram / 4 * 3
	case Discrete:
		return 8 * gib
	}
	return ram / 2
}

// containerMemory is the cgroup limit of this process in bytes, 0 where there is none.
func containerMemory() int64 {
	for _, p := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && n > 0 {
			return n
		}
	}
	return 0
}
