package gpu

import (
	"errors"
	"maps"
	"slices"
	"testing"
)

// A closed device is opened again with its kernels and begins anew; one that was lost,
// or of other limits, is not.
func TestKeepDevices(t *testing.T) {
	f := newFake(2)
	open := func(spec bool) *Device {
		d, err := openWith(keeping{f}, Options{SpecLimits: spec})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	compiled := func() (n int) {
		for _, d := range f.opened {
			for _, o := range d.objects {
				if o.kind == "pipeline" {
					n++
				}
			}
		}
		return n
	}
	use := func(d *Device, texts ...string) {
		t.Helper()
		b := d.NewBuffer(RoleScratch, "b", 256)
		for _, text := range texts {
			d.Run(Dispatch{Kernel: d.NewKernel("k", text), Params: words(1, 2, 3), Binds: []View{{Buf: b, Size: 256}}, Groups: [3]uint32{1, 1, 1}})
		}
		if err := d.Sync(); err != nil {
			t.Fatal(err)
		}
		if m := d.Memory(); m.Peak > 1<<20 || m.Roles[RoleScratch].Current != 256 {
			t.Errorf("memory of an earlier device: %+v", m)
		}
	}
	a := open(false)
	use(a, addWGSL)
	a.Close()
	b := open(false)
	if n := b.drv.completed(); n != 0 {
		t.Errorf("%d submits are done before the first one", n)
	}
	use(b, addWGSL, addWGSL+" // another")
	if len(f.opened) != 1 || compiled() != 2 {
		t.Errorf("%d devices and %d kernels of two texts", len(f.opened), compiled())
	}
	c := open(false) // b is open
	use(c, addWGSL)
	other := open(true)
	if len(f.opened) != 3 {
		t.Errorf("%d devices for three that are open at a time", len(f.opened))
	}
	b.drv.lose("")
	b.Close()
	c.Close()
	other.Close()
	if use(open(false), addWGSL); len(f.opened) != 3 {
		t.Errorf("%d devices: the one that is whole was not taken", len(f.opened))
	}
	if use(open(false), addWGSL); len(f.opened) != 4 {
		t.Errorf("%d devices: a lost one was opened again", len(f.opened))
	}
	for _, d := range f.opened {
		for _, m := range d.misuse {
			t.Error(m)
		}
	}
	if f.lists != 1 {
		t.Errorf("enumerated %d times", f.lists)
	}
	none := &fakeDriver{}
	for n := 1; n <= 2; n++ {
		if _, err := openWith(keeping{none}, Options{}); !errors.Is(err, ErrNoAdapter) || none.lists != n {
			t.Errorf("without an adapter: %v, enumerated %d times", err, none.lists)
		}
	}
}

// A fault that shows only while a device is closed, as the driver tells of it when it is
// polled, keeps the device from being opened again.
func TestKeepNoFaultyDevice(t *testing.T) {
	for name, fault := range map[string]func(d *fakeDevice){
		"lost": func(d *fakeDevice) { // when its buffers are freed: before, nothing of it is touched any more
			d.isLost = !slices.ContainsFunc(slices.Collect(maps.Values(d.objects)), func(o *fakeObject) bool { return o.kind == "buffer" })
		},
		"validation error": func(d *fakeDevice) { d.lose("Validation Error") },
	} {
		f := newFake(2)
		for n := 1; n <= 2; n++ {
			d, err := openWith(keeping{f}, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(f.opened) != n {
				t.Errorf("%s: %d devices, not %d: the faulty one was opened again", name, len(f.opened), n)
			}
			last := f.opened[len(f.opened)-1]
			last.onPoll = func() { fault(last) }
			if d.Close(); !last.closed {
				t.Errorf("%s: the device was not closed", name)
			}
		}
	}
}
