package gpu

import (
	"bytes"
	"os"
	"testing"
	"time"
)

// TestDriverConformance holds the drivers to driver.go. It is the test that another
// binding has to pass: give it to testDriver here.
func TestDriverConformance(t *testing.T) {
	t.Run("native", func(t *testing.T) {
		open(t, Options{}) // skips, or fails, without an adapter
		testDriver(t, defaultDriver, true)
	})
	t.Run("native, kept", func(t *testing.T) {
		open(t, Options{})
		testDriver(t, keeping{defaultDriver}, true)
	})
	t.Run("fake", func(t *testing.T) {
		for _, delay := range []int{0, 3} {
			f := newFake(delay)
			testDriver(t, f, false)
			for _, d := range f.opened {
				for _, m := range d.misuse {
					t.Errorf("delay %d: the conformance test itself: %s", delay, m)
				}
			}
		}
	})
}

// testDriver checks what the rest of the package relies on. executes says that
// kernels run.
func testDriver(t *testing.T, drv driver, executes bool) {
	for _, test := range []struct {
		name string
		f    func(*testing.T, driverDevice)
	}{
		{"buffers are zeroed, written, copied and cleared in order", driverOrder},
		{"a mapping shows what all submits before it wrote", driverMap},
		{"a mapping may be given up", driverMapGivenUp},
		{"submits are counted when they are done, an empty one too", driverCompleted},
		{"an error is kept for takeError, once", driverErrors},
		{"a lost device refuses everything", driverLost},
	} {
		t.Run(test.name, func(t *testing.T) {
			withDriverDevice(t, drv, func(t *testing.T, d driverDevice, _ AdapterInfo) { test.f(t, d) })
		})
	}
	t.Run("timestamps resolve", func(t *testing.T) { withDriverDevice(t, drv, driverQueries) })
	t.Run("a kernel sees its parameters and its bindings", func(t *testing.T) {
		withDriverDevice(t, drv, func(t *testing.T, d driverDevice, _ AdapterInfo) { driverKernel(t, d, executes) })
	})
	t.Run("an adapter that does not exist", func(t *testing.T) {
		l := drv.list(bitVulkan | bitMetal | bitDX12)
		defer l.free()
		for _, i := range []int{-1, len(l.all())} {
			if d, msg := l.open(i, true, false); d != nil || msg == "" {
				t.Errorf("adapter %d of %d opened: %v %q", i, len(l.all()), d, msg)
			}
		}
	})
}

// withDriverDevice opens the first adapter that CONCORD_ADAPTER, or the rule of
// Open, chooses.
func withDriverDevice(t *testing.T, drv driver, f func(*testing.T, driverDevice, AdapterInfo)) {
	t.Helper()
	l := drv.list(bitVulkan | bitMetal | bitDX12)
	infos := describe(l.all())
	i, err := choose(infos, os.Getenv("CONCORD_ADAPTER"))
	if err != nil {
		i, err = choose(infos, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	d, msg := l.open(i, true, infos[i].Timestamps)
	l.free() // the device outlives the list
	if d == nil {
		t.Fatal(msg)
	}
	f(t, d, infos[i])
	if d.lost() {
		return // its objects go with the process
	}
	waitDriver(t, d, func() bool { return true })
	if kind, msg := d.takeError(); kind != nativeNone {
		t.Errorf("an error was left: %d %s", kind, msg)
	}
	d.close()
}

// waitDriver polls until done, for half a minute at most.
func waitDriver(t *testing.T, d driverDevice, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if d.poll(); done() {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the driver does not get done")
		}
	}
}

// readDriver copies a buffer to a staging buffer and maps it.
func readDriver(t *testing.T, d driverDevice, b handle, size int64) []byte {
	t.Helper()
	s := d.newBuffer(size, usageMapRead|usageCopyDst, "staging")
	if !d.submit([]command{{kind: cmdCopy, a: b, b: s, size: uint64(size)}}) {
		t.Fatal(d.takeError())
	}
	out := finishMap(t, d, s, size)
	d.freeBuffer(s)
	return out
}

func finishMap(t *testing.T, d driverDevice, s handle, size int64) []byte {
	t.Helper()
	m := d.mapStart(s, size)
	if m == nil {
		t.Fatal(d.takeError())
	}
	waitDriver(t, d, func() bool { return m.ready() || m.failed() })
	if m.failed() {
		t.Fatal("the mapping failed")
	}
	out := make([]byte, size)
	d.mapFinish(s, m, out)
	return out
}

const storageUsage = usageStorage | usageCopySrc | usageCopyDst

func driverOrder(t *testing.T, d driverDevice) {
	a, b := d.newBuffer(64, storageUsage, "a"), d.newBuffer(64, storageUsage, "b")
	if got := readDriver(t, d, a, 64); !bytes.Equal(got, make([]byte, 64)) {
		t.Errorf("a new buffer holds %v", got)
	}
	want := words(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	d.write(a, 0, want)
	d.write(a, 16, words(50, 60))
	copy(want[16:], words(50, 60))
	ok := d.submit([]command{
		{kind: cmdCopy, a: a, b: b, size: 64},
		{kind: cmdClear, a: a, aOffset: 8, size: 8},
		{kind: cmdCopy, a: a, b: b, aOffset: 4, bOffset: 32, size: 12},
	})
	if !ok {
		t.Fatal(d.takeError())
	}
	copy(want[32:], words(2, 0, 0))
	if got := readDriver(t, d, b, 64); !bytes.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	d.freeBuffer(a)
	d.freeBuffer(b)
}

func driverMap(t *testing.T, d driverDevice) {
	a := d.newBuffer(1<<16, storageUsage, "a")
	s := d.newBuffer(1<<16, usageMapRead|usageCopyDst, "staging")
	for i := range uint32(8) {
		fill := bytes.Repeat(words(i+1), 1<<14)
		d.write(a, 0, fill)
		if !d.submit([]command{{kind: cmdCopy, a: a, b: s, size: 1 << 16}}) {
			t.Fatal(d.takeError())
		}
		if got := finishMap(t, d, s, 1<<16); !bytes.Equal(got, fill) {
			t.Fatalf("round %d: the mapping is stale", i)
		}
	}
	d.freeBuffer(a)
	d.freeBuffer(s)
}

func driverMapGivenUp(t *testing.T, d driverDevice) {
	s := d.newBuffer(256, usageMapRead|usageCopyDst, "staging")
	d.submit([]command{{kind: cmdClear, a: s, size: 256}})
	d.mapFinish(s, d.mapStart(s, 256), nil) // before it is ready
	waitDriver(t, d, func() bool { return d.completed() == 1 })
	if got := finishMap(t, d, s, 256); !bytes.Equal(got, make([]byte, 256)) {
		t.Error("the buffer cannot be mapped again")
	}
	d.freeBuffer(s)
}

func driverCompleted(t *testing.T, d driverDevice) {
	b := d.newBuffer(1<<20, storageUsage, "b")
	for range 5 {
		d.submit([]command{{kind: cmdClear, a: b, size: 1 << 20}})
	}
	d.submit(nil)
	last := d.completed()
	waitDriver(t, d, func() bool {
		now := d.completed()
		if now < last || now > 6 {
			t.Fatalf("%d completed after %d, of 6", now, last)
		}
		last = now
		return now == 6
	})
	d.freeBuffer(b)
}

func driverErrors(t *testing.T, d driverDevice) {
	if _, _, ok := d.newKernel("bad", badWGSL, "w"); ok {
		t.Error("text that is no WGSL compiled")
	}
	if kind, msg := d.takeError(); kind != nativeValidation || msg == "" {
		t.Errorf("error kind %d with text %q, want a validation error with the compiler's text", kind, msg)
	}
	if kind, msg := d.takeError(); kind != nativeNone {
		t.Errorf("the error was not cleared: %d %s", kind, msg)
	}
	if d.lost() {
		t.Error("a validation error lost the device")
	}
}

func driverLost(t *testing.T, d driverDevice) {
	b := d.newBuffer(256, storageUsage, "b")
	s := d.newBuffer(256, usageMapRead|usageCopyDst, "staging")
	_, l, ok := d.newKernel("affine", addWGSL, "w")
	params := d.newBuffer(256, usageUniform|usageCopyDst, "params")
	if !ok {
		t.Fatal(d.takeError())
	}
	d.lose("")
	if !d.lost() {
		t.Fatal("not lost")
	}
	d.takeError()
	for name, refused := range map[string]func() bool{
		"newBuffer":  func() bool { return d.newBuffer(256, storageUsage, "late") == 0 },
		"newQueries": func() bool { return d.newQueries(2) == 0 },
		"newKernel":  func() bool { _, _, ok := d.newKernel("late", addWGSL, "w"); return !ok },
		"newGroup":   func() bool { return d.newGroup(l, params, []binding{{b, 0, 256}}) == 0 },
		"mapStart":   func() bool { return d.mapStart(s, 256) == nil },
		"submit":     func() bool { return !d.submit(nil) },
		"write":      func() bool { d.write(b, 0, words(1)); return true },
	} {
		if !refused() {
			t.Errorf("%s reached a lost device", name)
		}
		if kind, _ := d.takeError(); kind != nativeLost {
			t.Errorf("%s: error kind %d, want a loss", name, kind)
		}
	}
}

func driverQueries(t *testing.T, d driverDevice, info AdapterInfo) {
	if !info.Timestamps {
		t.Skip("no timestamps on this adapter")
	}
	q, r := d.newQueries(2), d.newBuffer(16, usageQueryResolve|usageCopySrc, "results")
	ok := d.submit([]command{{kind: cmdTimestamp, a: q}, {kind: cmdTimestamp, a: q, aOffset: 1}, {kind: cmdResolve, a: q, b: r, size: 2}})
	if !ok {
		t.Fatal(d.takeError())
	}
	readDriver(t, d, r, 16)
	d.freeQueries(q)
	d.freeBuffer(r)
}

func driverKernel(t *testing.T, d driverDevice, executes bool) {
	p, l, ok := d.newKernel("affine", addWGSL, "w")
	if !ok {
		t.Fatal(d.takeError())
	}
	params := d.newBuffer(2*slotBytes, usageUniform|usageCopyDst, "params")
	b := d.newBuffer(1024, storageUsage, "b")
	g := d.newGroup(l, params, []binding{{b, 256, 512}})
	d.write(params, 0, words(64, 2, 1))
	d.write(params, slotBytes, words(3, 10, 0))
	d.write(b, 256, words(5, 6, 7, 8))
	if !d.submit([]command{{kind: cmdDispatch, a: p, b: g, x: 1, y: 1, z: 1},
		{kind: cmdDispatch, a: p, b: g, aOffset: slotBytes, x: 1, y: 1, z: 1}}) {
		t.Fatal(d.takeError())
	}
	got := readDriver(t, d, b, 1024)
	if want := words(110, 130, 150, 17, 1); executes && !bytes.Equal(got[256:256+20], want) {
		t.Errorf("%v, want %v", got[256:256+20], want)
	}
	if executes && !bytes.Equal(got[:256], make([]byte, 256)) {
		t.Error("a kernel wrote before its binding")
	}
	d.freeGroup(g)
	d.freeKernel(p, l)
	d.freeBuffer(b)
	d.freeBuffer(params)
}
