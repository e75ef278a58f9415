package doctor

import (
	"errors"
	"math"
	"os"
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
		if !v.OK || v.Error != "" {
			t.Errorf("%s: %s", v.Kernel, v.Error)
		}
	}
}

// Failures of every kind are verdicts, and do not touch the kernels behind them.
func TestRunSurvives(t *testing.T) {
	good := func(e *tensor.Engine) error { return checkAdd(e, false) }
	tests := []Test{
		{"good", good},
		{"wrong", func(e *tensor.Engine) error {
			x := matrix(e, 1, 4, []float32{1, 2, 3, 4})
			defer release(x)
			return same(e, "out", x, []float32{1, 2, 3.01, 4})
		}},
		{"error", func(*tensor.Engine) error { return errors.New("bad day") }},
		{"panic", func(*tensor.Engine) error { panic("shape mismatch") }},
		{"device", func(e *tensor.Engine) error { // sets the device's sticky error and does not look at it
			e.Dev.NewBuffer(gpu.RoleScratch, "too large", 1<<60)
			return nil
		}},
		{"good again", good},
		{"good", good},
		{"wrong", good},
	}
	var told []Verdict
	got, err := Run(options(t), tests, func(v Verdict) { told = append(told, v) })
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ kernel, text string }{{"good", ""}, {"wrong", "index 2"}, {"error", "bad day"}, {"panic", "panic: shape mismatch"}, {"device", "too large"}, {"good again", ""}}
	if len(got) != len(want) || !slices.Equal(got, told) {
		t.Fatalf("verdicts %v, told %v", got, told)
	}
	for i, w := range want {
		if got[i].Kernel != w.kernel || got[i].OK != (w.text == "") || !strings.Contains(got[i].Error, w.text) || got[i].OK != (got[i].Error == "") {
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
	e := tensor.NewEngine(dev, tensor.Options{NoAutotune: true})
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
