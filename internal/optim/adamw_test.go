package optim

import (
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/param"
	"concord/internal/ref"
	"concord/tensor"
)

func testEngine(t testing.TB) *tensor.Engine {
	t.Helper()
	gpu.KeepDevices() // kernels take longer to compile than these sizes to compute
	dev, err := gpu.Open(gpu.Options{Adapter: os.Getenv("CONCORD_ADAPTER")})
	if err != nil {
		if os.Getenv("REQUIRE_GPU") != "" {
			t.Fatalf("no GPU adapter: %v", err)
		}
		t.Skipf("no GPU adapter: %v", err)
	}
	t.Cleanup(dev.Close)
	return tensor.NewEngine(dev, tensor.Options{NoAutotune: true})
}

var params = []bucket.Param{
	declare("norm", param.Norm, param.NoLayer, 1, 10),
	declare("layers.1.w", param.Linear, 1, 7, 10), declare("layers.1.b", param.Bias, 1, 1, 7),
	declare("layers.0.b", param.Bias, 0, 1, 7), declare("layers.0.w", param.Linear, 0, 7, 10),
	declare("embedding", param.Embedding, param.NoLayer, 70, 10),
}

func declare(name string, kind param.Kind, layer, r, c int) bucket.Param {
	return bucket.Param{Spec: param.Spec{Name: name, Kind: kind, Layer: layer, R: r, C: c}}
}

var config = Config{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.3, Clip: 2}

var scopes = map[string]bucket.Scope{"tensor": bucket.ByTensor, "layer": bucket.ByLayer, "1MB": bucket.BySize(1 << 20),
	"global": bucket.Global}

func newStore(t testing.TB, e *tensor.Engine, scope string) *bucket.Store {
	t.Helper()
	l, err := bucket.Partition(params, scopes[scope], bucket.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := bucket.NewStore(e, l, bucket.Training...)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range params {
		load(t, s, bucket.Weight, p.Name, optest.Random(p.Size(), uint64(i)))
	}
	return s
}

func load(t testing.TB, s *bucket.Store, state bucket.State, name string, v []float32) {
	t.Helper()
	if err := s.Load(state, name, v); err != nil {
		t.Fatal(err)
	}
}

func newAdamW(t testing.TB, s *bucket.Store) *AdamW {
	t.Helper()
	o, err := New(s, config)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// gradient is parameter i's gradient in a step; step 2 is too small to be clipped.
func gradient(p bucket.Param, i, step int) []float32 {
	g := optest.Random(p.Size(), uint64(1000*step+i))
	for k := range g {
		if step == 2 {
			g[k] *= 0.01
		}
	}
	return g
}

// step loads the gradients of a step and updates.
func step(t testing.TB, s *bucket.Store, o *AdamW, k int) (norm, scale float64) {
	t.Helper()
	var sum float64
	for i, p := range params {
		g := gradient(p, i, k)
		load(t, s, bucket.Gradient, p.Name, g)
		sum += ref.SumSquares(g)
	}
	norm = math.Sqrt(sum)
	scale, err := o.Step(bucket.Report{Norm: norm}, 0.01)
	if err != nil {
		t.Fatal(err)
	}
	return norm, scale
}

func read(t testing.TB, s *bucket.Store, state bucket.State, name string) []float32 {
	t.Helper()
	v, err := s.Read(state, name)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestStep compares ten updates with the reference: clipped by the global norm
// where that is larger, and vectors without decay. The scope changes no bit.
func TestStep(t *testing.T) {
	e := testEngine(t)
	var first map[string][]float32
	for _, scope := range []string{"tensor", "layer", "global", "1MB"} {
		s := newStore(t, e, scope)
		o := newAdamW(t, s)
		var want [3][][]float32
		for i, p := range params {
			want[0] = append(want[0], optest.Random(p.Size(), uint64(i)))
			want[1] = append(want[1], make([]float32, p.Size()))
			want[2] = append(want[2], make([]float32, p.Size()))
		}
		for k := range 10 {
			norm, scale := step(t, s, o, k)
			if wantScale := min(1, config.Clip/norm); scale != wantScale || (k == 2) != (scale == 1) {
				t.Errorf("step %d of norm %v is scaled by %v, want %v", k, norm, scale, wantScale)
			}
			for i, p := range params {
				decay := config.WeightDecay
				if p.Kind.Vector() {
					decay = 0
				}
				ref.AdamW(want[0][i], want[1][i], want[2][i], gradient(p, i, k), 0.01, config.Beta1, config.Beta2, config.Eps, decay, int64(k+1), scale)
			}
		}
		got := map[string][]float32{}
		for i, p := range params {
			for k, state := range []bucket.State{bucket.Weight, bucket.First, bucket.Second} {
				v := read(t, s, state, p.Name)
				if err := optest.Compare(v, want[k][i], 1e-10); err != nil {
					t.Errorf("%s: %s of %s: %v", scope, state, p.Name, err)
				}
				got[p.Name+string(state)] = v
			}
		}
		if first == nil {
			first = got
		}
		for name, v := range got {
			if i := optest.Bits(v, first[name]); i >= 0 {
				t.Errorf("%s: %s has other bits at %d", scope, name, i)
			}
		}
	}
}

// TestContinue checks that states moved to another store, of another scope,
// continue bit for bit.
func TestContinue(t *testing.T) {
	e := testEngine(t)
	a := newStore(t, e, "layer")
	oa := newAdamW(t, a)
	for k := range 3 {
		step(t, a, oa, k)
	}
	b := newStore(t, e, "tensor")
	ob := newAdamW(t, b)
	for _, p := range params {
		for _, state := range []bucket.State{bucket.Weight, bucket.First, bucket.Second} {
			load(t, b, state, p.Name, read(t, a, state, p.Name))
		}
	}
	ob.SetSteps(oa.Steps())
	for k := 3; k < 6; k++ {
		step(t, a, oa, k)
		step(t, b, ob, k)
	}
	for _, p := range params {
		if i := optest.Bits(read(t, a, bucket.Weight, p.Name), read(t, b, bucket.Weight, p.Name)); i >= 0 {
			t.Errorf("%s has other bits at %d", p.Name, i)
		}
	}
}

// TestNonFinite checks that a bad gradient is a typed error and changes nothing.
func TestNonFinite(t *testing.T) {
	e := testEngine(t)
	s := newStore(t, e, "layer")
	o := newAdamW(t, s)
	step(t, s, o, 0)
	before := read(t, s, bucket.Weight, "embedding")
	for _, norm := range []float64{math.NaN(), math.Inf(1)} {
		rep := bucket.Report{Norm: norm, Buckets: []bucket.BucketReport{{Name: "good", Norm2: 1}, {Name: "bad", Norm2: norm}}}
		_, err := o.Step(rep, 0.01)
		var nf *NonFiniteError
		if !errors.As(err, &nf) || nf.Step != 2 || nf.Bucket != "bad" {
			t.Errorf("norm %v: %v", norm, err)
		}
	}
	if i := optest.Bits(before, read(t, s, bucket.Weight, "embedding")); i >= 0 || o.Steps() != 1 {
		t.Errorf("a refused update changed weight %d; %d steps", i, o.Steps())
	}
}

func TestConfigRefused(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"beta1":        func(c *Config) { c.Beta1 = 1 },
		"beta2":        func(c *Config) { c.Beta2 = math.NaN() },
		"eps":          func(c *Config) { c.Eps = 0 },
		"weight_decay": func(c *Config) { c.WeightDecay = -1 },
		"clip":         func(c *Config) { c.Clip = -1 },
	} {
		c := config
		change(&c)
		if _, err := New(nil, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
