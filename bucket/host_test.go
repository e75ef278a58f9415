package bucket

import (
	"bytes"
	"testing"

	"concord/internal/optest"
	"concord/tensor"
)

// A Host has the bits of the store that its groups were read from, gives them back by
// parameter and by group, and takes values as the store does.
func TestHost(t *testing.T) {
	e := testEngine(t)
	for name, types := range map[string]Types{"f32": nil, "bf16": {Weight: tensor.BF16, First: tensor.BF16}} {
		params := llama(3, false)
		for i := range params {
			params[i].Align = tensor.PackedBlock
		}
		l, err := Partition(params, ByLayer, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewTypedStore(e, l, types, First, Second)
		if err != nil {
			t.Fatal(err)
		}
		states := []State{Weight, First, Second}
		for i, p := range params {
			for k, state := range states {
				if err := s.Load(state, p.Name, optest.Random(p.Size(), uint64(3*i+k))); err != nil {
					t.Fatal(err)
				}
			}
		}
		read, loaded := s.NewHost(), s.NewHost(states...)
		for _, state := range states {
			for u := range l.Groups {
				b, err := s.ReadGroup(state, u)
				if err != nil {
					t.Fatal(err)
				}
				read.Set(state, u, b)
				if !bytes.Equal(s.Encode(state, u, s.Values(state, u, b)), b) {
					t.Errorf("%s: group %d: its values are other %s", name, u, state)
				}
			}
			for _, p := range params {
				sameInHost(t, s, read, state, p.Name)
				v, err := s.Read(state, p.Name)
				if err == nil {
					err = loaded.Load(state, p.Name, v)
				}
				if err != nil {
					t.Fatal(err)
				}
				sameInHost(t, s, loaded, state, p.Name)
			}
		}
		if _, err := s.NewHost(Weight).Raw(First, params[0].Name); err == nil {
			t.Error("a state that is not there is read")
		}
		if err := loaded.Load(Weight, params[0].Name, make([]float32, 1)); err == nil {
			t.Error("one value is taken for all")
		}
		s.Release()
	}
}

func sameInHost(t *testing.T, s *Store, h *Host, state State, name string) {
	t.Helper()
	want, err := s.Raw(state, name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.Raw(state, name)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s of %s has other bytes: %v", state, name, err)
	}
	a, err := s.Read(state, name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := h.Read(state, name)
	if err != nil || optest.Bits(a, b) >= 0 {
		t.Errorf("%s of %s has other values: %v", state, name, err)
	}
}
