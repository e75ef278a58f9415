package gpu

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Role is a buffer's purpose, so that memory is reported by purpose.
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
	RoleProbe       Role = "probe"   // weights before and after a probed step
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
	unbounded             bool // nothing is refused
	roles                 map[Role]RoleMemory
}

func (a *account) left() int64 {
	if a.unbounded {
		return 1 << 60
	}
	return a.budget - a.current
}

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
	return fmt.Errorf("gpu: allocate %q (%s): %w: %d bytes asked, %d of %d used; "+
		"raise [device] memory, or reduce the batch, the sequence length or the bucket size",
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

// defaultBudget is used when Options.MemoryBudget is 0: 75 % of the machine's (or
// container's) memory for a software rasterizer, 50 % of it for a GPU that may
// share it, 80 % of a discrete GPU's own memory. WebGPU cannot say how much that
// is, so where the system does not either it is a guess of 8 GiB, and note tells
// the user. Machines of unknown memory count as having 8 GiB.
func defaultBudget(a AdapterInfo, ram int64) (n int64, note string) {
	const gib = 1 << 30
	if c := containerMemory(); c > 0 && (ram == 0 || c < ram) {
		ram = c
	}
	if ram == 0 {
		ram = 8 * gib
	}
	switch a.Type {
	case CPU:
		return ram / 4 * 3, ""
	case Discrete:
		if n := videoMemory("/sys/class/drm", a.vendorID, a.deviceID); n > 0 {
			return n / 5 * 4, ""
		}
		return 8 * gib, fmt.Sprintf("gpu: assuming that %s has 8 GiB of memory for this run: set [device] memory to what it has", a.Name)
	}
	return ram / 2, ""
}

// videoMemory is the memory in bytes of the graphics card with these PCI ids, 0
// when unknown. Only Linux's amdgpu driver tells, under root; of two cards with the
// same ids the smaller counts.
func videoMemory(root string, vendor, device uint32) int64 {
	dirs, _ := filepath.Glob(filepath.Join(root, "card*", "device")) // the pattern is well-formed
	least := int64(0)
	for _, dir := range dirs {
		if sysNumber(dir, "vendor") != int64(vendor) || sysNumber(dir, "device") != int64(device) {
			continue
		}
		if n := sysNumber(dir, "mem_info_vram_total"); n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

// sysNumber reads a decimal or 0x number from a file, -1 when there is none.
func sysNumber(dir, name string) int64 {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return -1
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 0, 64)
	if err != nil {
		return -1
	}
	return n
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
