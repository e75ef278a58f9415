package doctor

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/shaders"
	"concord/tensor"
)

func options(t *testing.T) gpu.Options {
	t.Helper()
	o := gpu.Options{Adapter: os.Getenv("CONCORD_ADAPTER")}
	dev, err := gpu.Open(o)
	if err != nil {
		if os.Getenv("REQUIRE_GPU") != "" {
			t.Fatalf("no GPU adapter: %v", err)
		}
		t.Skipf("no GPU adapter: %v", err)
	}
	dev.Close()
	return o
}

// Every WGSL file has a self-test, and every self-test a WGSL file.
func TestEveryKernelIsCovered(t *testing.T) {
	covered := map[string]bool{}
	for _, x := range Tests() {
		covered[x.Kernel] = true
		if !slices.Contains(shaders.Names(), x.Kernel) {
			t.Errorf("a self-test is for %q, which is no kernel", x.Kernel)
		}
	}
	for _, name := range shaders.Names() {
		if !covered[name] {
			t.Errorf("kernel %s has no self-test: add one to internal/doctor", name)
		}
	}
}

// Every variant of a matrix product is tested as a variant of some kernel.
func TestEveryVariantIsCovered(t *testing.T) {
	for _, v := range (&tensor.Engine{}).Variants() {
		plain, transposed := matmulKernel(v)
		for _, kernel := range []string{plain, transposed} {
			if !slices.Contains(shaders.Names(), kernel) || !slices.ContainsFunc(matmulTests(), func(x Test) bool { return x.Kernel == kernel }) {
				t.Errorf("variant %s has no self-test: tell matmulKernel its kernel", v)
			}
		}
	}
}

func TestAllKernels(t *testing.T) {
	verdicts, err := Run(options(t), Tests(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(verdicts) != len(shaders.Names()) {
		t.Errorf("%d verdicts for %d kernels", len(verdicts), len(shaders.Names()))
	}
	for _, v := range verdicts {
		if !v.OK || v.Error != "" || !v.Repeats {
			t.Errorf("%s: %s", v.Kernel, v.Error)
		}
		if v.Values == 0 || v.NMSE < 0 || v.NMSE > 1e-10 { // every bound is at most this
			t.Errorf("%s: NMSE %g of %d values", v.Kernel, v.NMSE, v.Values)
		}
	}
}

// Failures of every kind are verdicts, and do not touch the kernels behind them.
func TestRunSurvives(t *testing.T) {
	good := func(e *Probe) error { return checkAdd(e, false) }
	runs := float32(0)
	unsteady := func(e *Probe) error { // within the bound, other bits each time
		runs++
		x := matrix(e, 1, 4, []float32{1, 2, 3, 4 + runs*1e-6})
		defer release(x)
		return same(e, "out", x, []float32{1, 2, 3, 4})
	}
	tests := []Test{
		{"good", good},
		{"wrong", func(e *Probe) error {
			x := matrix(e, 1, 4, []float32{1, 2, 3, 4})
			defer release(x)
			return same(e, "out", x, []float32{1, 2, 3.01, 4})
		}},
		{"error", func(*Probe) error { return errors.New("bad day") }},
		{"panic", func(*Probe) error { panic("shape mismatch") }},
		{"device", func(e *Probe) error { // sets the device's sticky error and does not look at it
			e.Dev.NewBuffer(gpu.RoleScratch, "too large", 1<<60)
			return nil
		}},
		{"good again", good},
		{"unsteady", unsteady},
		{"good", good},
		{"wrong", good},
	}
	var told []Verdict
	got, err := Run(options(t), tests, func(v Verdict) { told = append(told, v) })
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ kernel, text string }{{"good", ""}, {"wrong", "index 2"}, {"error", "bad day"},
		{"panic", "panic: shape mismatch"}, {"device", "too large"}, {"good again", ""}, {"unsteady", "differ in bits"}}
	if len(got) != len(want) || !slices.Equal(got, told) {
		t.Fatalf("verdicts %v, told %v", got, told)
	}
	for i, w := range want {
		if got[i].Kernel != w.kernel || got[i].OK != (w.text == "") || !strings.Contains(got[i].Error, w.text) ||
			got[i].OK != (got[i].Error == "") {
			t.Errorf("verdict %+v, want %+v", got[i], w)
		}
	}
	if _, err := Run(gpu.Options{Adapter: "no such adapter"}, tests, nil); err == nil {
		t.Error("ran on an adapter that does not exist")
	}
}

// The comparisons see one wrong value among many, a NaN, and a wrong objective.
func TestComparisonsSeeErrors(t *testing.T) {
	dev, err := gpu.Open(options(t))
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	e := newProbe(tensor.NewEngine(dev, tensor.Options{NoAutotune: true}))
	const r, c = 7, 37
	want := optest.Random(r*c, 1)
	for name, change := range map[string]func([]float32){
		"nothing":          func([]float32) {},
		"the last value":   func(x []float32) { x[r*c-1] *= 1.01 },
		"the first value":  func(x []float32) { x[0] += 1e-3 },
		"a lost value":     func(x []float32) { x[100] = 0 },
		"a NaN":            func(x []float32) { x[50] = float32(math.NaN()) },
		"a swap":           func(x []float32) { x[3], x[4] = x[4], x[3] },
		"a transposed sum": func(x []float32) { x[5], x[c] = x[5]+x[c], 0 },
	} {
		got := slices.Clone(want)
		change(got)
		x := matrix(e, r, c, got)
		err := same(e, "out", x, want)
		if (err == nil) != (name == "nothing") {
			t.Errorf("%s: %v", name, err)
		}
		release(x)
	}
	rows := objectiveRows(e, 3, r, c)
	defer release(rows.Objective(0))
	e.Upload(rows.Objective(1), want)
	if err := sameRows(e, "rows", rows, make([]float32, 3*r*c)); err == nil || !strings.Contains(err.Error(), "objective 1") {
		t.Errorf("a gradient in the wrong row: %v", err)
	}
}

func TestAdapters(t *testing.T) {
	o := options(t)
	list, budget, err := Adapters(o)
	if err != nil || budget <= 0 {
		t.Fatalf("budget %d, %v", budget, err)
	}
	chosen := 0
	for i, a := range list {
		if a.Index != i || a.Name == "" || a.Limits.MaxBufferSize <= 0 || a.Software != (a.Type == "cpu") {
			t.Errorf("adapter %d is %+v", i, a)
		}
		if a.Chosen {
			chosen++
			again, _, err := Adapters(gpu.Options{Backend: a.Backend})
			if err != nil || len(again) == 0 {
				t.Errorf("backend %s: %v, %v", a.Backend, again, err)
			}
		}
	}
	if chosen != 1 {
		t.Errorf("%d adapters are chosen", chosen)
	}
	if list, _, err := Adapters(gpu.Options{Adapter: "no such adapter"}); err == nil || len(list) == 0 {
		t.Errorf("an unknown adapter: %v, %v", list, err)
	}
}

func TestCacheFolder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", dir)
	t.Setenv("HOME", dir)
	t.Setenv("LocalAppData", dir)
	f := CacheFolder()
	if !f.Writable || !strings.HasPrefix(f.Path, dir) {
		t.Fatalf("%+v", f)
	}
	if left, _ := os.ReadDir(f.Path); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.Remove(f.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.Path, nil, 0o644); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	if f := CacheFolder(); f.Writable || f.Error == "" {
		t.Errorf("%+v", f)
	}
}

// Advice names the cause that the verdicts show, other adapters, and the report.
func TestAdvise(t *testing.T) {
	me, other := Adapter{Index: 0, Name: "Card", Vendor: "AMD", Driver: "radv 1"},
		Adapter{Index: 1, Name: "Rasterizer", Backend: "vulkan", Software: true}
	for name, c := range map[string]struct {
		v             Verdict
		want, without string
	}{
		"fine":     {Verdict{OK: true}, "", "driver"},
		"memory":   {Verdict{Error: "out of GPU memory", Memory: true}, "--memory", "driver"},
		"numbers":  {Verdict{Error: "NMSE 0.1 > 1e-10"}, "driver of AMD (now: radv 1)", "overclocking"},
		"bits":     {Verdict{Error: "two runs: " + ErrNotRepeatable.Error()}, "overclocking", "compiler"},
		"compiler": {Verdict{Error: "kernel add: Validation Error"}, "another backend", "overclocking"},
		"lost":     {Verdict{Error: "gpu: " + gpu.ErrDeviceLost.Error()}, "resets it after 2 s", "overclocking"},
	} {
		got := strings.Join(Advise(me, []Adapter{me, other}, []Verdict{{OK: true}, c.v}), "\n")
		if !strings.Contains(got, c.want) || strings.Contains(got, c.without) {
			t.Errorf("%s: advice %q, want %q in it and not %q", name, got, c.want, c.without)
		}
		if serious := c.v.Error != "" && !c.v.Memory; serious != strings.Contains(got, "--adapter 1") ||
			serious != strings.Contains(got, "--out doctor.json") {
			t.Errorf("%s: advice %q", name, got)
		}
	}
}

func TestSystem(t *testing.T) {
	if s := System(); s == "" || strings.Contains(s, "\n") {
		t.Errorf("the system is called %q", s)
	}
	path := filepath.Join(t.TempDir(), "os-release")
	if err := os.WriteFile(path, []byte("ID=x\nPRETTY_NAME=\"Some Linux 12\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := osRelease(path); got != "Some Linux 12" {
		t.Errorf("the name is %q", got)
	}
}

func TestVulkanDrivers(t *testing.T) {
	const summary = `
Devices:
========
GPU0:
	apiVersion         = 1.3.230
	driverVersion      = 0.0.1
	deviceName         = llvmpipe (LLVM 15.0.6, 256 bits)
	driverID           = DRIVER_ID_MESA_LLVMPIPE
	driverName         = llvmpipe
	driverInfo         = Mesa 22.3.6 (LLVM 15.0.6)
	conformanceVersion = 1.3.1.1
GPU1:
	deviceName         = Some Card
	driverName         = radv
	driverInfo         = Mesa 24.0
`
	want := []string{"llvmpipe (LLVM 15.0.6, 256 bits), llvmpipe, Mesa 22.3.6 (LLVM 15.0.6)", "Some Card, radv, Mesa 24.0"}
	if got := vulkanDrivers(summary); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMeasureSpeed(t *testing.T) {
	s, err := MeasureSpeed(options(t))
	if err != nil || !(s.GFLOPS > 0.01) || !(s.CopyGBs > 0.01) || s.Runs < 2 || s.Seconds <= 0 {
		t.Errorf("%+v, %v", s, err)
	}
}
