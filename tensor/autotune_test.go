package tensor

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
)

// tuneOnce multiplies two small matrices and returns the engine's choices.
func tuneOnce(t *testing.T, e *Engine, opt Options) map[string]string {
	t.Helper()
	e.tune = newTuner(e, opt)
	a, b := upload(e, 40, 24, optest.Random(960, 1)), upload(e, 20, 24, optest.Random(480, 2))
	out := e.New(gpu.RoleScratch, "out", 40, 20)
	before := e.Dev.Memory().Roles[gpu.RoleScratch].Current
	e.MatMul(out, a, b, NT, false)
	if err := e.Dev.Sync(); err != nil {
		t.Fatal(err)
	}
	if n := e.Dev.Memory().Roles[gpu.RoleScratch].Current - before; n > 1<<20 {
		t.Errorf("%d bytes of scratch are left", n)
	}
	return e.TuneChoices()
}

const tuneClass = "NT 64x32x32"

func TestAutotuneIsCached(t *testing.T) {
	e, dir := testEngine(t), t.TempDir()
	path := filepath.Join(dir, "matmul.json")
	first := tuneOnce(t, e, Options{CacheDir: dir})
	if _, err := parseVariant(first[tuneClass], "NT"); err != nil {
		t.Fatalf("choices %v: %v", first, err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	// Another variant in the file shows that the file is what counts.
	edit(t, path, first[tuneClass], "direct-4x2")
	if got := tuneOnce(t, e, Options{CacheDir: dir}); got[tuneClass] != "direct-4x2" {
		t.Errorf("with a cache that says direct-4x2: %v", got)
	}
	edit(t, path, "direct-4x2", "no-such-variant")
	if got := tuneOnce(t, e, Options{CacheDir: dir}); !validChoice(got) {
		t.Errorf("with an unknown variant in the cache: %v", got)
	}
	edit(t, path, kernelsHash(), "0")
	if len(openTuneCache(dir, deviceKey(e.Dev.Info())).choices) != 0 {
		t.Error("timings of other kernels were used")
	}
	for _, text := range []string{"", "{", "[]", `{"devices": 3}`, "\xff\x00"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := tuneOnce(t, e, Options{CacheDir: dir}); !validChoice(got) {
			t.Errorf("with the cache %q: %v", text, got)
		}
		if len(openTuneCache(dir, deviceKey(e.Dev.Info())).choices) != 1 {
			t.Errorf("the cache %q was not rewritten", text)
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".matmul-*"))
	if len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func validChoice(c map[string]string) bool {
	_, err := parseVariant(c[tuneClass], "NT")
	return len(c) == 1 && err == nil
}

func edit(t *testing.T, path, from, to string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), from) {
		t.Fatalf("%s has no %q:\n%s", path, from, b)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(b), from, to)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestAutotuneKeepsOtherDevices(t *testing.T) {
	dir := t.TempDir()
	one, two := openTuneCache(dir, "one"), openTuneCache(dir, "two")
	one.put("NN 1x1x1", "tiled-32", 0)
	two.put("NN 1x1x1", "tiled-64", 0)
	one.put("NN 2x1x1", "direct-8x2", 0)
	got := openTuneCache(dir, "two")
	if one, _ := got.get("NN 1x1x1", 0); one != "tiled-64" || got.choices["NN 2x1x1"] != "" {
		t.Errorf("device two has %v", got.choices)
	}
	if got := openTuneCache(dir, "one"); len(got.choices) != 2 {
		t.Errorf("device one has %v", got.choices)
	}
}

// A choice from a trial that had little memory serves those who have as little, and is made again by one with twice as
// much. The trial of a small product, and one that only its time cuts, had enough.
func TestAutotuneOfLittleMemory(t *testing.T) {
	e := testEngine(t)
	dir := t.TempDir()
	c := openTuneCache(dir, "one")
	c.put("NN 1x1x1", "tiled-32", 1<<20)
	c = openTuneCache(dir, "one")
	for room, want := range map[int64]bool{tuneLeast: false, 2<<20 - 1: false, 2 << 20: true, tuneBytes: true} {
		if got, larger := c.get("NN 1x1x1", room); got != "tiled-32" || larger != want {
			t.Errorf("with %d bytes: %q, again %v", room, got, larger)
		}
	}
	other := openTuneCache(dir, "one") // another process, with more memory, then with less
	other.put("NN 1x1x1", "tiled-64", 4<<20)
	c.put("NN 1x1x1", "direct-8x2", 2<<20)
	c.put("NN 2x1x1", "direct-8x2", 0)
	if c = openTuneCache(dir, "one"); c.choices["NN 1x1x1"] != "tiled-64 4194304" || c.choices["NN 2x1x1"] != "direct-8x2" {
		t.Errorf("%v", c.choices)
	}
	for _, broken := range []string{"tiled-32 ", "tiled-32 x", "tiled-32 -1", "tiled-32 99999999999999999999"} {
		if v, cut := entry(broken); v != "" || cut != 0 {
			t.Errorf("%q is %q with %d bytes", broken, v, cut)
		}
	}
	large, small := product{op: "NN", m: 512, n: 512, kEnd: 512, objectives: 1}, product{op: "NN", m: 32, n: 32, kEnd: 32, objectives: 1}
	room := e.tune.trialRoom()
	if _, cut, ok := e.tune.measure(large); !ok || cut < tuneLeast || cut > max(tuneLeast, 2*room) {
		t.Errorf("a large product with %d bytes: cut to %d, measured %v", room, cut, ok)
	}
	if _, cut, ok := e.tune.measure(small); !ok || cut != 0 {
		t.Errorf("a small product: cut to %d, measured %v", cut, ok)
	}
	if m, n, k := e.tune.trialShape(product{op: "TN", m: 128, n: 64, kEnd: 8192, objectives: 1}, 1<<20); k < 1024 {
		t.Errorf("a long sum of which slices are tried is cut to %dx%dx%d", m, n, k)
	}
}

// A plan has room also where the slices were measured for a smaller product of the same shape class.
func TestReserveOfAShapeClass(t *testing.T) {
	e := testEngine(t)
	for _, side := range []int{129, 257} {
		most := int64(0)
		small, large := product{op: "TN", m: side, n: side, kEnd: 4097, objectives: 1}, product{op: "TN", m: 2*side - 2, n: 2*side - 2,
			kEnd: 8192, objectives: 1}
		small.ldc, large.ldc = F32.LD(small.n), F32.LD(large.n)
		if shapeClass(small) != shapeClass(large) {
			t.Fatalf("%s, %s", shapeClass(small), shapeClass(large))
		}
		e.tune.dropWorkspace()
		e.tune.reserve(large)
		var reserved int64
		if e.tune.work != nil {
			reserved = e.tune.work.Size()
		}
		for _, v := range e.tune.candidates(small) {
			n := v.workspace(large, e.tune.splits(v, large))
			if most = max(most, n); n > reserved {
				t.Errorf("%s takes %d bytes, %d are reserved", v.name, n, reserved)
			}
		}
		if most == 0 && side == 129 {
			t.Error("no candidate takes any")
		}
	}
}

func TestAutotuneWithoutDisk(t *testing.T) {
	e := testEngine(t)
	file := filepath.Join(t.TempDir(), "file") // a file where a directory should be
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := tuneOnce(t, e, Options{CacheDir: file}); !validChoice(got) {
		t.Errorf("choices %v", got)
	}
}

func TestAutotuneOverrides(t *testing.T) {
	e, dir := testEngine(t), t.TempDir()
	if got := tuneOnce(t, e, Options{Variant: "tiled-32", CacheDir: dir}); got[tuneClass] != "tiled-32" {
		t.Errorf("forced variant: %v", got)
	}
	choices := map[string]string{tuneClass: "direct-8x1"}
	if got := tuneOnce(t, e, Options{Choices: choices, CacheDir: dir}); !maps.Equal(got, choices) {
		t.Errorf("replayed choices: %v", got)
	}
	if got := tuneOnce(t, e, Options{NoAutotune: true, CacheDir: dir}); !validChoice(got) {
		t.Errorf("table: %v", got)
	}
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("files were written: %v", files)
	}
}

// Every candidate of every operation runs, agrees, and one of them is chosen.
func TestAutotuneMeasure(t *testing.T) {
	e := testEngine(t)
	for _, p := range []product{
		{op: "NN", m: 48, n: 20, kEnd: 600, objectives: 1},
		{op: "NT", m: 2, n: 100, kEnd: 30, objectives: 1},
		{op: "TN", m: 20, n: 30, kEnd: 1100, objectives: 1},
		{op: "SEG", m: 20, n: 33, kEnd: 50, objectives: 8},
	} {
		names := []string{}
		for _, v := range e.tune.candidates(p) {
			names = append(names, v.name)
		}
		v, _, ok := e.tune.measure(p)
		if !ok || !strings.Contains(strings.Join(names, " "), v.name) {
			t.Errorf("%s: %v of %v, ok %v", p.op, v.name, names, ok)
		}
	}
}

// Products with weights in a file's blocks are measured too, forward and backward: of
// short blocks and of long ones. That every type is decoded in every product is
// TestMatMulBlocks'.
func TestAutotuneMeasuresBlocks(t *testing.T) {
	e := testEngine(t)
	for _, d := range []DType{Q5_0, Q6_K} {
		for _, p := range []product{{op: "NT", m: 16, n: 24, kEnd: 256, objectives: 1, bType: d},
			{op: "NN", m: 16, n: 256, kEnd: 24, objectives: 1, bType: d}} {
			if v, _, ok := e.tune.measure(p); !ok {
				t.Errorf("%s with %v: %v", p.op, d, v.name)
			}
		}
	}
}

// A variant that was measured for one shape splits the sum of a larger one of its class into fewer
// slices: the workspace is at most splitMost. After a measurement there is none.
func TestSplitIsBounded(t *testing.T) {
	e := testEngine(t)
	v := mustVariant("tiled-64-k64", "TN")
	for _, p := range []product{{op: "TN", m: 128, n: 64, kEnd: 8192, ldc: 64}, {op: "TN", m: 512, n: 256, kEnd: 8192, ldc: 256},
		{op: "TN", m: 4096, n: 4096, kEnd: 8192, ldc: 4096}} {
		p.objectives = 1
		s := e.tune.splits(v, p)
		if size := v.workspace(p, s); s < 1 || s > 64 || size > e.tune.splitMost() {
			t.Errorf("%dx%d in %d slices: %d bytes", p.m, p.n, s, size)
		}
		e.tune.reserve(p)
		if n := v.workspace(p, s); n > 0 && (e.tune.work == nil || n > e.tune.work.Size()) {
			t.Errorf("%dx%d: %d bytes for %d slices are not reserved", p.m, p.n, n, s)
		}
		if _, _, ok := e.tune.measure(p); !ok || e.tune.work != nil {
			t.Errorf("%dx%d: measured %v, workspace %v", p.m, p.n, ok, e.tune.work)
		}
	}
}

func TestAutotuneNeedsMemory(t *testing.T) {
	dev, err := gpu.Open(gpu.Options{Adapter: os.Getenv("CONCORD_ADAPTER"), MemoryBudget: 384 << 10})
	if err != nil {
		t.Skipf("no GPU adapter: %v", err)
	}
	defer dev.Close()
	e := NewEngine(dev, Options{CacheDir: t.TempDir()})
	if _, _, ok := e.tune.measure(product{op: "NN", m: 512, n: 512, kEnd: 512, objectives: 1}); ok {
		t.Error("measured beyond the budget")
	}
	p := product{op: "NN", m: 512, n: 512, kEnd: 512, objectives: 1}
	openTuneCache(e.tune.opt.CacheDir, deviceKey(dev.Info())).put(shapeClass(p), "direct-4x2", 1000)
	if v := e.tune.choose(p); v.name != "direct-4x2" {
		t.Errorf("without memory for a larger measurement the one there is does not count: %s", v.name)
	}
	if err := dev.Err(); err != nil {
		t.Error(err)
	}
}

func TestCheckVariant(t *testing.T) {
	for name, want := range map[string]bool{"direct-16x4": true, "tiled-64-k8": true, "tiled-64-k1": false,
		"tiled-64-k": false, "tiled-64-k65": false, "": false, "tiled": false, "-k2": false} {
		if err := CheckVariant(name); (err == nil) != want {
			t.Errorf("CheckVariant(%q) = %v", name, err)
		}
	}
}
