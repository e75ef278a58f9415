package bucket

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/param"
	"concord/tensor"
)

// TestStoreRoundTrip checks that states come back bit for bit, NaN payloads
// included, whatever the scope, and that parameters do not overlap.
func TestStoreRoundTrip(t *testing.T) {
	e := testEngine(t)
	m := newModel(t, e, true)
	for _, scope := range []string{"tensor", "layer", "global"} {
		s := m.store(scope)
		defer s.Release()
		value := func(p Param, state State) []float32 {
			v := optest.Random(p.Size(), uint64(len(p.Name)+p.R*31+len(state)*7))
			v[0] = math.Float32frombits(0x7fc12345)
			v[len(v)-1] = math.Float32frombits(1) // denormal
			return v
		}
		states := []State{Weight, First, Second, Gradient}
		for _, state := range states {
			for _, p := range m.params {
				if err := s.Load(state, p.Name, value(p, state)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, state := range states {
			for _, p := range m.params {
				got, err := s.Read(state, p.Name)
				if err != nil {
					t.Fatal(err)
				}
				if i := optest.Bits(got, value(p, state)); i >= 0 {
					t.Errorf("%s: %s of %s differs at %d", scope, state, p.Name, i)
				}
			}
		}
		if w := s.Weight(m.params[0].Name); w.Offset%256 != 0 || w.LD%4 != 0 {
			t.Errorf("weights at offset %d, LD %d", w.Offset, w.LD)
		}
	}
}

func TestStoreRefuses(t *testing.T) {
	e := testEngine(t)
	l, err := Partition(llama(1, true), ByLayer, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewStore(e, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Load(Weight, "nothing", nil); err == nil {
		t.Error("an unknown parameter is loaded")
	}
	if err := s.Load(Weight, "model.norm.weight", make([]float32, 9)); err == nil {
		t.Error("9 values are loaded into 10")
	}
	if err := s.Load(First, "model.norm.weight", make([]float32, 10)); err == nil {
		t.Error("moments are loaded into a store without")
	}
	if n := e.Dev.Memory().Roles[gpu.RoleOptimizer].Current; n != 0 {
		t.Errorf("a store for inference holds %d bytes of moments", n)
	}
}

// TestStoreOutOfMemory checks that the budget's refusal is an error.
func TestStoreOutOfMemory(t *testing.T) {
	testEngine(t) // skips without an adapter
	dev, err := gpu.Open(gpu.Options{MemoryBudget: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	l, err := Partition([]Param{declare("w", param.Linear, 0, 1024, 1024)}, ByLayer, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewStore(tensor.NewEngine(dev, tensor.Options{NoAutotune: true}), l, Training...); !errors.Is(err, gpu.ErrOutOfMemory) {
		t.Errorf("got %v", err)
	}
}

// TestReadWithinBudget: a parameter larger than what the budget has left can be
// read, as the first checkpoint of a run that just fits must.
func TestReadWithinBudget(t *testing.T) {
	testEngine(t) // skips without an adapter
	dev, err := gpu.Open(gpu.Options{MemoryBudget: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	l, err := Partition([]Param{declare("w", param.Linear, 0, 1024, 1024)}, ByLayer, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewStore(tensor.NewEngine(dev, tensor.Options{NoAutotune: true}), l)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, 1<<20)
	for i := range values {
		values[i] = float32(i)
	}
	if err := s.Load(Weight, "w", values); err != nil {
		t.Fatal(err)
	}
	got, err := s.Read(Weight, "w")
	if err != nil || !slices.Equal(got, values) {
		t.Errorf("%d values, %v", len(got), err)
	}
}

// Frozen parameters have weights and nothing else, in no bucket.
func TestFrozen(t *testing.T) {
	e := testEngine(t)
	params := llama(2, true)
	for i := range params {
		params[i].Frozen = params[i].Kind != param.Norm
	}
	l, err := Partition(params, ByLayer, Limits{Objectives: 3})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range l.Names() {
		if p, _ := l.Place(name); p.Kind != param.Norm {
			t.Errorf("%s is in a bucket", name)
		}
	}
	s, err := NewStore(e, l, Training...)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	for _, p := range params {
		want := optest.Random(p.Size(), 1)
		if err := s.Load(Weight, p.Name, want); err != nil {
			t.Fatal(err)
		}
		got, err := s.Read(Weight, p.Name)
		if err != nil || optest.Bits(got, want) >= 0 {
			t.Errorf("%s: read %v, loaded %v (%v)", p.Name, got, want, err)
		}
		if _, err := s.Read(First, p.Name); p.Frozen != (err != nil && strings.Contains(err.Error(), "is frozen and has no m")) {
			t.Errorf("m of %s: %v", p.Name, err)
		}
	}
	for i := range params {
		params[i].Frozen = true
	}
	if _, err := Partition(params, ByLayer, Limits{}); err == nil || !strings.Contains(err.Error(), "nothing is left to train") {
		t.Errorf("all frozen: %v", err)
	}
}
