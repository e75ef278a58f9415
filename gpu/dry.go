package gpu

import "fmt"

// DryDevice describes an adapter that a plan is made for.
type DryDevice struct {
	Name   string
	Type   AdapterType
	Budget int64  // bytes
	Limits Limits // zero: those of a usual GPU, 2 GiB a binding and 4 GiB a buffer
	// Measuring refuses nothing: Memory tells how much a run would take beyond Budget.
	Measuring bool
}

// OpenDry opens a device that does nothing: buffers take no memory, kernels are not
// compiled, commands are done at once, and everything that is read back is zero. Memory
// is accounted for and refused as on a real device, so that a step run on it tells the
// memory that the step takes on a card that is not there. The bytes of all reads are the
// same memory, and not to be changed. Errors as of Open.
func OpenDry(d DryDevice) (*Device, error) {
	if d.Limits == (Limits{}) {
		d.Limits = Limits{4 << 30, 2<<30 - 4, 10, 32768, 1024, 65535, 256}
	}
	kinds := map[AdapterType]uint32{Discrete: 0, Integrated: 1, CPU: 2}
	kind, ok := kinds[d.Type]
	if !ok {
		return nil, fmt.Errorf("gpu: a plan for an adapter of type %q: use discrete, integrated or cpu", d.Type)
	}
	dev, err := openWith(dryDriver{rawAdapter{device: d.Name, backend: rawVulkan, kind: kind, limits: d.Limits}},
		Options{Adapter: "0", MemoryBudget: d.Budget})
	if err != nil {
		return nil, err
	}
	dev.dry, dev.mem.unbounded = true, d.Measuring
	return dev, nil
}

// Refuses says that the memory budget bounds allocations: it does, but where it is measured
// on a dry device.
func (d *Device) Refuses() bool { return !d.mem.unbounded }

// fresh is n bytes to read into: on a dry device, which reads zeros only, always the same.
func (d *Device) fresh(n int64) []byte {
	if !d.dry {
		return make([]byte, n)
	}
	if int64(len(d.zeros)) < n {
		d.zeros = make([]byte, n)
	}
	return d.zeros[:n:n]
}

// Dry says that the device does nothing, so that there is nothing to measure on it.
func (d *Device) Dry() bool { return d.dry }

// rawVulkan is Vulkan in webgpu.h.
const rawVulkan = 6

// dryDriver has one adapter.
type dryDriver struct{ adapter rawAdapter }

func (d dryDriver) list(uint32) driverAdapters { return d }
func (dryDriver) physicalMemory() int64        { return 0 }
func (d dryDriver) all() []rawAdapter          { return []rawAdapter{d.adapter} }
func (dryDriver) free()                        {}
func (dryDriver) open(int, bool, bool) (driverDevice, string) {
	return &dryNative{}, ""
}

// dryNative hands out numbers.
type dryNative struct {
	last handle
	done uint64
	kind int
	text string
	gone bool
}

func (d *dryNative) next() handle {
	d.last++
	return d.last
}

func (d *dryNative) close()            {}
func (d *dryNative) lost() bool        { return d.gone }
func (d *dryNative) poll()             {}
func (d *dryNative) completed() uint64 { return d.done }

func (d *dryNative) takeError() (int, string) {
	kind, text := d.kind, d.text
	d.kind, d.text = nativeNone, ""
	return kind, text
}

func (d *dryNative) newBuffer(int64, uint32, string) handle { return d.next() }
func (d *dryNative) freeBuffer(handle)                      {}
func (d *dryNative) write(handle, int64, []byte)            {}
func (d *dryNative) newQueries(int) handle                  { return d.next() }
func (d *dryNative) freeQueries(handle)                     {}

func (d *dryNative) mapStart(handle, int64) mapping                  { return dryMapping{} }
func (d *dryNative) mapFinish(handle, mapping, []byte)               {}
func (d *dryNative) freeKernel(pipeline, layout handle)              {}
func (d *dryNative) newGroup(_, _ handle, _ []binding) handle        { return d.next() }
func (d *dryNative) freeGroup(handle)                                {}
func (d *dryNative) invalid(*command) bool                           { return false }
func (d *dryNative) submit([]command) bool                           { d.done++; return true }
func (d *dryNative) newKernel(_, _, _ string) (p, l handle, ok bool) { return d.next(), d.next(), true }

func (d *dryNative) lose(text string) {
	d.gone, d.kind, d.text = true, nativeLost, text
}

type dryMapping struct{}

func (dryMapping) ready() bool  { return true }
func (dryMapping) failed() bool { return false }
