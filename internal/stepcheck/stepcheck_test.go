package stepcheck

import (
	"math"
	"os"
	"slices"
	"testing"

	"concord/gpu"
	"concord/internal/ref"
	"concord/tensor"
)

func engine(t *testing.T) *tensor.Engine { return engineAs(t, os.Getenv("CONCORD_TREAT_AS_GPU") != "") }

func engineAs(t *testing.T, asGPU bool) *tensor.Engine {
	t.Helper()
	dev, err := gpu.Open(gpu.Options{Adapter: os.Getenv("CONCORD_ADAPTER")})
	if err != nil {
		if os.Getenv("REQUIRE_GPU") != "" {
			t.Fatalf("no GPU adapter: %v", err)
		}
		t.Skipf("no GPU adapter: %v", err)
	}
	t.Cleanup(dev.Close)
	return tensor.NewEngine(dev, tensor.Options{NoAutotune: true, TreatAsGPU: asGPU})
}

// TestStep: the device's step is the CPU's, tied and untied, with the kernels of a
// software adapter and with those of a GPU.
func TestStep(t *testing.T) {
	for _, asGPU := range []bool{false, true} {
		e := engineAs(t, asGPU)
		for _, tied := range []bool{true, false} {
			v := newProblem(tied).verdict(e)
			t.Logf("as GPU %v: %+v", asGPU, v)
			if !v.OK || !v.Repeats || len(v.Figures) != len(kinds) {
				t.Errorf("as GPU %v: %+v", asGPU, v)
			}
		}
	}
}

// TestEverythingActs: the step clips, and its method is no mean.
func TestEverythingActs(t *testing.T) {
	e := engine(t)
	for _, tied := range []bool{true, false} {
		p := newProblem(tied)
		got, err := p.onDevice(e)
		if err != nil {
			t.Fatal(err)
		}
		want, err := p.onCPU(got.groups)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(got.clip/want.clip-1) > 1e-5 || want.clip > 0.9 {
			t.Errorf("%s: clipping scales by %v, on the CPU by %v", p.name, got.clip, want.clip)
		}
		p.method = "mean"
		mean, err := p.onCPU(got.groups)
		if err != nil {
			t.Fatal(err)
		}
		if f := compare(kinds[2], got.parts[2], mean.parts[2]); f.OK() {
			t.Errorf("%s: the method gives the mean: nothing is tested of it", p.name)
		}
	}
}

// TestWrong: what a wrong kernel would make of a step is found, and in the figure that
// comes first.
func TestWrong(t *testing.T) {
	e := engine(t)
	p := newProblem(true)
	got, err := p.onDevice(e)
	if err != nil {
		t.Fatal(err)
	}
	for name, wrong := range map[string]struct {
		first  string // the first kind that shows it
		change func(*problem, *ref.Decoder)
	}{
		"norm's eps":    {kinds[0].name, func(_ *problem, d *ref.Decoder) { d.Eps *= 10 }},
		"rotation":      {kinds[0].name, func(_ *problem, d *ref.Decoder) { d.InvFreq[0][1] *= 1.01 }},
		"window":        {kinds[0].name, func(_ *problem, d *ref.Decoder) { d.Window = []int{0, 28} }},
		"activation":    {kinds[0].name, func(_ *problem, d *ref.Decoder) { d.GELU = true }},
		"scores' scale": {kinds[0].name, func(_ *problem, d *ref.Decoder) { d.Scale = 1.001 / math.Sqrt(float64(d.HeadDim)) }},
		"solver":        {kinds[2].name, func(p *problem, _ *ref.Decoder) { p.method = "mean" }},
		"clipping":      {kinds[3].name, func(p *problem, _ *ref.Decoder) { p.adam.Clip *= 1.01 }},
		"decay":         {kinds[3].name, func(p *problem, _ *ref.Decoder) { p.adam.WeightDecay *= 1.1 }},
		"epsilon":       {kinds[3].name, func(p *problem, _ *ref.Decoder) { p.adam.Eps *= 1.01 }},
		"learning rate": {kinds[3].name, func(p *problem, _ *ref.Decoder) { p.lr *= 1.001 }},
	} {
		q := *p
		d, parts, err := q.decoder()
		if err != nil {
			t.Fatal(err)
		}
		wrong.change(&q, d)
		want, err := q.stepOf(d, parts, got.groups)
		if err != nil {
			t.Fatal(err)
		}
		first := slices.IndexFunc(kinds[:], func(k kind) bool {
			i := slices.Index(kinds[:], k)
			return !compare(k, got.parts[i], want.parts[i]).OK()
		})
		if first < 0 || kinds[first].name != wrong.first {
			t.Errorf("%s: found first in figure %d, want %q", name, first, wrong.first)
		}
	}
}

// TestOneValue: one wrong or missing value in any result, and one flipped bit between two
// steps, are found.
func TestOneValue(t *testing.T) {
	p := newProblem(false)
	got, err := p.onDevice(engine(t))
	if err != nil {
		t.Fatal(err)
	}
	for k, parts := range got.parts {
		for i, x := range parts {
			for _, bad := range []float32{x.values[0]*1.5 + 1e-2, float32(math.NaN())} {
				changed := got
				changed.parts[k] = slices.Clone(parts)
				changed.parts[k][i].values = slices.Clone(x.values)
				changed.parts[k][i].values[0] = bad
				if f := compare(kinds[k], changed.parts[k], parts); f.OK() || f.Part != x.name {
					t.Errorf("%s, %s: %v in place of %v: %+v", kinds[k].name, x.name, bad, x.values[0], f)
				}
			}
			changed := got
			changed.parts[k] = slices.Clone(parts)
			changed.parts[k][i].values = slices.Clone(x.values)
			changed.parts[k][i].values[0] = math.Float32frombits(math.Float32bits(x.values[0]) ^ 1)
			if at := differs(got, changed); at != kinds[k].name+", "+x.name {
				t.Errorf("a flipped bit in %s, %s: found in %q", kinds[k].name, x.name, at)
			}
		}
	}
}

// TestMemory: a budget that is too small is no wrong result.
func TestMemory(t *testing.T) {
	engine(t)
	verdicts, err := Run(gpu.Options{Adapter: os.Getenv("CONCORD_ADAPTER"), MemoryBudget: 64 << 10})
	if err != nil || len(verdicts) != 2 {
		t.Fatalf("%v: %+v", err, verdicts)
	}
	for _, v := range verdicts {
		if v.OK || !v.Memory {
			t.Errorf("%+v", v)
		}
	}
}
