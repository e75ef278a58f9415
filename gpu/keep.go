package gpu

import "sync"

// KeepDevices makes Close keep the driver's device, with the kernels that it has
// compiled, for the next Open of the same adapter: compiling takes most of the time of a
// process that opens many devices for a few steps each. The counts and contents of a Device
// begin anew all the same. Adapters are enumerated once. It holds for the whole process.
func KeepDevices() {
	kept.Lock()
	defer kept.Unlock()
	kept.on = true
}

// kept are devices that nobody has open, the last one closed last, and the enumerations.
var kept struct {
	sync.Mutex
	on    bool
	free  map[keptKey][]*keptDevice
	lists map[keptList]driverAdapters
}

// keptList tells enumerations apart.
type keptList struct {
	driver   driver
	backends uint32
}

// keptKey tells devices apart that Open does.
type keptKey struct {
	driver           driver
	adapter          string
	index            int
	spec, timestamps bool
}

// usualDriver is the driver that Open opens devices with.
func usualDriver() driver {
	kept.Lock()
	defer kept.Unlock()
	if kept.on {
		return keeping{defaultDriver}
	}
	return defaultDriver
}

// keeping is a driver whose devices are kept when they are closed.
type keeping struct{ driver }

// list enumerates once, as loading a driver's libraries takes long; where nothing was
// found it looks again.
func (k keeping) list(backends uint32) driverAdapters {
	kept.Lock()
	defer kept.Unlock()
	key := keptList{k.driver, backends}
	if l := kept.lists[key]; l != nil {
		return keptAdapters{l, k.driver}
	}
	l := k.driver.list(backends)
	if len(l.all()) == 0 {
		return l
	}
	if kept.lists == nil {
		kept.lists = map[keptList]driverAdapters{}
	}
	kept.lists[key] = l
	return keptAdapters{l, k.driver}
}

type keptAdapters struct {
	driverAdapters
	driver driver
}

// free leaves the enumeration for the next caller.
func (a keptAdapters) free() {}

func (a keptAdapters) open(i int, spec, timestamps bool) (driverDevice, string) {
	key := keptKey{driver: a.driver, index: i, spec: spec, timestamps: timestamps}
	if all := a.all(); i >= 0 && i < len(all) {
		key.adapter = all[i].device + " " + all[i].description
	}
	if d := takeKept(key); d != nil {
		d.before = d.driverDevice.completed()
		return d, ""
	}
	n, msg := a.driverAdapters.open(i, spec, timestamps)
	if n == nil {
		return nil, msg
	}
	return &keptDevice{driverDevice: n, key: key, kernels: map[string]keptKernel{}}, ""
}

func takeKept(key keptKey) *keptDevice {
	kept.Lock()
	defer kept.Unlock()
	list := kept.free[key]
	if len(list) == 0 {
		return nil
	}
	d := list[len(list)-1]
	kept.free[key] = list[:len(list)-1]
	return d
}

// keptDevice is a device that outlives its close, unless it has an error.
type keptDevice struct {
	driverDevice
	key     keptKey
	kernels map[string]keptKernel // by access and text
	before  uint64                // submits of its holders before
}

type keptKernel struct{ pipeline, layout handle }

func (d *keptDevice) completed() uint64 { return d.driverDevice.completed() - d.before }

func (d *keptDevice) newKernel(name, wgsl, access string) (pipeline, layout handle, ok bool) {
	key := access + "\x00" + wgsl
	if k, ok := d.kernels[key]; ok && !d.lost() {
		return k.pipeline, k.layout, true
	}
	p, l, ok := d.driverDevice.newKernel(name, wgsl, access)
	if ok {
		d.kernels[key] = keptKernel{p, l}
	}
	return p, l, ok
}

// freeKernel keeps the kernel.
func (d *keptDevice) freeKernel(pipeline, layout handle) {}

func (d *keptDevice) close() {
	if kind, _ := d.takeError(); kind != nativeNone || d.lost() {
		for _, k := range d.kernels {
			d.driverDevice.freeKernel(k.pipeline, k.layout)
		}
		d.driverDevice.close()
		return
	}
	kept.Lock()
	defer kept.Unlock()
	if kept.free == nil {
		kept.free = map[keptKey][]*keptDevice{}
	}
	kept.free[d.key] = append(kept.free[d.key], d)
}
