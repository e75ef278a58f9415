package tensor

import (
	"fmt"
	"maps"
	"math/bits"

	"concord/gpu"
)

// Options chooses how the engine picks the kernels of matrix products. The zero
// value measures on first use and remembers the result on disk.
type Options struct {
	NoAutotune bool              // use the built-in table instead of measuring, and no disk
	Reserve    bool              // take the memory of the largest candidate of each product: for plans of runs that measure
	CacheDir   string            // where measured choices are kept; "" = concord in the user's cache directory
	Variant    string            // use this variant (see Engine.Variants) for every product; "" = choose
	Choices    map[string]string // Engine.TuneChoices of an earlier run, replayed exactly; they win over the cache
	// TreatAsGPU makes all choices on a software rasterizer that are made on a
	// GPU: for tests, on machines without one.
	TreatAsGPU bool
}

// tuner picks a variant per shape class: the operation with M, N and K rounded
// up to powers of two and the type of b. In order of precedence: Options.Variant, Options.Choices,
// the choice made earlier by this engine, then the built-in table (NoAutotune),
// or the cache on disk, or a measurement.
//
// The order of a sum, and so its bits, depends on the variant. Timing is not
// reproducible, so a run that must be repeated bit for bit records TuneChoices.
type tuner struct {
	e       *Engine
	opt     Options
	limit   int64             // bytes of one binding
	choices map[string]string // of this engine, by shape class
	fitted  map[string]variant
	disk    *tuneCache // nil until needed
	none    gpu.View   // placeholder binding
	work    *gpu.Buffer
}

func newTuner(e *Engine, opt Options) *tuner {
	t := &tuner{e: e, opt: opt, choices: map[string]string{}, fitted: map[string]variant{}}
	if e.Dev != nil {
		t.limit = e.Dev.Info().Limits.MaxStorageBufferBindingSize
	}
	return t
}

// TuneChoices returns the variant of every shape class that the engine has used,
// to be kept with a run and given back as Options.Choices.
func (e *Engine) TuneChoices() map[string]string { return maps.Clone(e.tune.choices) }

// shapeClass is the key of a choice, such as "NT 2048x512x128".
func shapeClass(p product) string {
	up := func(n int) int {
		if n <= 1 {
			return max(n, 0)
		}
		return 1 << bits.Len(uint(n-1))
	}
	c := fmt.Sprintf("%s %dx%dx%d", p.op, up(p.m), up(p.n), up(p.kEnd-p.kBegin))
	if p.op == "SEG" {
		c += fmt.Sprintf("/%d", up(p.objectives))
	}
	if p.bType != F32 {
		c += " " + p.bType.String()
	}
	return c
}

// choose returns the variant for p, measuring when nobody knows it yet.
func (t *tuner) choose(p product) variant {
	class := shapeClass(p)
	if v, ok := t.fitted[class]; ok {
		return v
	}
	v := t.decide(p, class)
	t.choices[class] = v.name
	t.fitted[class] = v
	return v
}

func (t *tuner) decide(p product, class string) variant {
	if t.opt.Variant != "" {
		v, err := parseVariant(t.opt.Variant, p.op)
		if err != nil {
			panic(err.Error()) // CheckVariant is for names from a user
		}
		return v
	}
	if v, err := parseVariant(t.opt.Choices[class], p.op); err == nil {
		return v
	}
	if t.opt.NoAutotune {
		return t.table(p)
	}
	if t.disk == nil {
		t.disk = openTuneCache(t.opt.CacheDir, deviceKey(t.e.Dev.Info()))
	}
	name, larger := t.disk.get(class, t.trialRoom())
	known, err := parseVariant(name, p.op)
	if err == nil && !larger {
		return known
	}
	v, cut, ok := t.measure(p)
	if ok {
		t.disk.put(class, v.name, cut)
	} else if err == nil {
		return known // there is no room for the larger trial
	}
	return v
}

// CheckVariant returns an error that lists the variants when name, a setting of
// the user, is none of them.
func CheckVariant(name string) error {
	_, err := parseVariant(name, "NN")
	return err
}

// fewTiles is the number of tiles below which a device is not busy: some per
// core of a CPU rasterizer, some per multiprocessor of a GPU.
func (t *tuner) fewTiles() int {
	if t.e.cpu {
		return 64
	}
	return 256
}

// table is the choice without measuring: the largest tile that still gives the
// device enough of them, where need be by splitting a long sum.
func (t *tuner) table(p product) variant {
	order := []string{"tiled-64", "tiled-32"}
	switch {
	case t.e.cpu:
		order = []string{"direct-16x4", "direct-8x2", "direct-4x1"}
		if p.m < 4 {
			order = []string{"direct-1x1"}
		} else if p.m < 12 {
			order = order[1:]
		}
	case p.m <= 8:
		order = []string{"direct-4x1"}
		if p.m == 1 {
			order = []string{"direct-1x1"}
		}
	}
	var v variant
	for _, name := range order {
		v = mustVariant(name, p.op)
		s := t.slices(v, p)
		if s > 1 {
			v = mustVariant(fmt.Sprintf("%s-k%d", name, s), p.op)
		}
		if v.tiles(p)*s >= t.fewTiles() {
			break
		}
	}
	return v
}

// tiles is the number of output tiles of p over all objectives.
func (v variant) tiles(p product) int {
	return ceilDiv(p.m, v.rows) * ceilDiv(p.n, v.cols) * p.objectives
}

// leastTerms of a sum are worth a slice.
const leastTerms = 256

// slices is the split of K that keeps the device busy when v has few tiles: a
// power of two, at least leastTerms a slice; 1 where it cannot help.
func (t *tuner) slices(v variant, p product) int {
	if p.op == "SEG" {
		return 1
	}
	s := 1
	for s < maxSlices && v.tiles(p)*s < t.fewTiles() && (p.kEnd-p.kBegin)/(2*s) >= leastTerms {
		s *= 2
	}
	return s
}

func mustVariant(name, op string) variant {
	v, err := parseVariant(name, op)
	if err != nil {
		panic(err.Error())
	}
	return v
}

// placeholder is a binding that no kernel reads.
func (t *tuner) placeholder() gpu.View {
	if t.none.Buf == nil {
		t.none = gpu.View{Buf: t.e.Dev.NewBuffer(gpu.RoleScratch, "matmul placeholder", 256), Size: 256}
	}
	return t.none
}

// workspace holds the slices of a split sum until they are reduced. There is
// one, as large as any product needed so far: dispatches run in order.
func (t *tuner) workspace(size int64) gpu.View {
	if t.work == nil || t.work.Size() < size {
		t.dropWorkspace()
		t.work = t.e.Dev.NewBuffer(gpu.RoleScratch, "matmul split", size)
	}
	return gpu.View{Buf: t.work, Size: size}
}

func (t *tuner) dropWorkspace() {
	if t.work != nil {
		t.work.Release()
		t.work = nil
	}
}

// splitMost bounds the workspace: the memory of twice fewTiles of the largest tiles. No split of table
// or candidates makes as many. A larger product of the same shape class would, and gets fewer slices.
func (t *tuner) splitMost() int64 { return f32Bytes(int64(2*t.fewTiles()) * 64 * 64) }

// splitLimit is splitMost, or the size of the largest binding.
func (t *tuner) splitLimit() int64 { return min(t.splitMost(), t.limit) }

// reserve takes the largest workspace that p may need: with one of its candidates, or with more slices, which
// were measured for a smaller product of its shape class, of up to twice the terms.
func (t *tuner) reserve(p product) {
	most := int64(0)
	for _, v := range t.candidates(p) {
		v.slices = min(maxSlices, (p.kEnd-p.kBegin)/(leastTerms/2))
		most = max(most, v.workspace(p, t.splits(v, p)))
	}
	if most > 0 {
		t.workspace(most)
	}
}

// splits is the number of slices v cuts p's sum into.
func (t *tuner) splits(v variant, p product) int {
	if v.slices < 2 {
		return 1
	}
	v.slices = min(v.slices, (2*t.fewTiles()-1)/max(1, v.tiles(p)))
	return v.split(p, t.splitLimit())
}

// workspace is the memory of s slices of p, 0 for one.
func (v variant) workspace(p product, s int) int64 {
	if s < 2 {
		return 0
	}
	return f32Bytes(int64(s) * int64(p.m) * int64(p.ldc))
}
