package gpu

import (
	"errors"
	"strings"
	"testing"
)

// TestLoss: whatever is called first after a loss answers with ErrDeviceLost, nothing
// reaches the driver any more, and the process lives on.
func TestLoss(t *testing.T) {
	type call struct {
		name string
		do   func(d *Device, k *Kernel, b *Buffer)
	}
	for _, c := range []call{
		{"write", func(d *Device, k *Kernel, b *Buffer) { d.Write(b.view(), words(1)) }},
		{"zero", func(d *Device, k *Kernel, b *Buffer) { d.Zero(b.view()) }},
		{"run", func(d *Device, k *Kernel, b *Buffer) { affine(d, k, b, 2, 2) }},
		{"allocate", func(d *Device, k *Kernel, b *Buffer) { d.NewBuffer(RoleScratch, "late", 4096).Release() }},
		{"compile", func(d *Device, k *Kernel, b *Buffer) { d.NewKernel("late", addWGSL) }},
		{"flush", func(d *Device, k *Kernel, b *Buffer) { d.Flush() }},
		{"read", func(d *Device, k *Kernel, b *Buffer) { d.Read(b.view()) }},
		{"release", func(d *Device, k *Kernel, b *Buffer) { b.Release() }},
		{"profile", func(d *Device, k *Kernel, b *Buffer) { d.Profile(true); d.Span("x"); d.Spans() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t, Options{})
			k := d.NewKernel("affine", addWGSL)
			b := d.NewBuffer(RoleScratch, "x", 1024)
			affine(d, k, b, 1, 1)
			pending := d.Read(b.view())
			affine(d, k, b, 1, 1) // recorded, not submitted
			before := d.stream.submitted
			d.drv.lose("")
			c.do(d, k, b)
			if _, err := pending.Wait(); !errors.Is(err, ErrDeviceLost) {
				t.Errorf("a read that was under way: %v", err)
			}
			for _, err := range []error{d.Sync(), d.Err()} {
				if !errors.Is(err, ErrDeviceLost) || !errors.Is(err, ErrDevice) || !strings.Contains(err.Error(), "checkpoint") {
					t.Errorf("error %v, want ErrDeviceLost", err)
				}
			}
			if d.stream.submitted != before {
				t.Error("work was submitted to a lost device")
			}
			d.Close()
			d.Close()
		})
	}
	// The next device of the same adapter works.
	d := open(t, Options{})
	k := d.NewKernel("affine", addWGSL)
	b := d.NewBuffer(RoleScratch, "x", 256)
	affine(d, k, b, 1, 7)
	if got := readWords(t, d.Read(b.view())); got[0] != 7 {
		t.Errorf("%v", got[0])
	}
}

// TestNativeGuards: the C side refuses a lost device by itself, as a loss may become
// known between a check in Go and the call.
func TestNativeGuards(t *testing.T) {
	for name, do := range map[string]func(d *Device, k *Kernel, b *Buffer) bool{
		"buffer": func(d *Device, k *Kernel, b *Buffer) bool { return d.drv.newBuffer(256, usageStorage, "x") == 0 },
		"kernel": func(d *Device, k *Kernel, b *Buffer) bool { _, _, ok := d.drv.newKernel("k", addWGSL, "w"); return !ok },
		"group": func(d *Device, k *Kernel, b *Buffer) bool {
			return d.drv.newGroup(k.layout, d.stream.arena.h, bindings([]View{b.view()})) == 0
		},
		"queries": func(d *Device, k *Kernel, b *Buffer) bool { return d.drv.newQueries(4) == 0 },
		"map":     func(d *Device, k *Kernel, b *Buffer) bool { return d.drv.mapStart(b.h, 256) == nil },
		"submit":  func(d *Device, k *Kernel, b *Buffer) bool { return !d.drv.submit(nil) },
		"write":   func(d *Device, k *Kernel, b *Buffer) bool { d.drv.write(b.h, 0, words(1)); return true },
	} {
		d := open(t, Options{})
		k := d.NewKernel("affine", addWGSL)
		b := d.NewBuffer(RoleScratch, "x", 256)
		d.drv.lose("")
		d.drv.takeError()
		if !do(d, k, b) {
			t.Errorf("%s reached a lost device", name)
		}
		if kind, _ := d.drv.takeError(); kind != nativeLost {
			t.Errorf("%s: error kind %d, want a loss", name, kind)
		}
	}
}

// TestLossInValidation: after a loss the library fails calls in validation, with this
// text, before it reports the loss itself.
func TestLossInValidation(t *testing.T) {
	for text, lost := range map[string]bool{"Validation Error\n\nCaused by:\n    Parent device is lost\n": true,
		"Validation Error: too large": false} {
		d := open(t, Options{})
		b := d.NewBuffer(RoleScratch, "x", 256)
		d.drv.lose(text)
		d.Write(b.view(), words(1))
		if err := d.Sync(); err == nil || errors.Is(err, ErrDeviceLost) != lost || !errors.Is(err, ErrDevice) {
			t.Errorf("%q became %v", text, err)
		}
	}
}
