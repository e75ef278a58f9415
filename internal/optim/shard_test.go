package optim

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"concord/bucket"
	"concord/internal/optest"
	"concord/internal/param"
	"concord/tensor"
)

// TestShard compares updates of groups whose moments are in host memory with
// AdamW's own: weights and moments are the same bits, in every scope and of every
// element type, and a second machine's, from the same gradients, too.
func TestShard(t *testing.T) {
	moments := []bucket.State{bucket.First, bucket.Second}
	for name, c := range map[string]struct {
		types bucket.Types
		kept  []bucket.State
	}{
		"f32":       {nil, moments},
		"bf16":      {bucket.Types{bucket.Weight: tensor.BF16, bucket.First: tensor.BF16, bucket.Second: tensor.BF16}, moments},
		"int8":      {bucket.Types{bucket.First: tensor.Dynamic8, bucket.Second: tensor.Dynamic8Root}, moments},
		"adafactor": {bucket.Types{bucket.Weight: tensor.BF16}, []bucket.State{bucket.Factors}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, scope := range []string{"tensor", "layer", "global"} {
				sameShards(t, scope, c.types, c.kept)
			}
		})
	}
}

func sameShards(t *testing.T, scope string, types bucket.Types, kept []bucket.State) {
	t.Helper()
	e := testEngine(t)
	store := func(states ...bucket.State) (*bucket.Store, *AdamW) {
		var all []bucket.Param
		for _, p := range params {
			p.Align = tensor.PackedBlock
			all = append(all, p)
		}
		l, err := bucket.Partition(all, scopes[scope], bucket.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := bucket.NewTypedStore(e, l, types, append(states, bucket.Gradient)...)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range params {
			load(t, s, bucket.Weight, p.Name, optest.Random(p.Size(), uint64(i)))
		}
		c := config
		c.Factored = kept[0] == bucket.Factors
		o, err := New(s, c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(o.Release)
		return s, o
	}
	whole, a := store(kept...)
	parts, b := store()
	s := b.NewShard(kept...)
	defer s.Release()
	held := make([][]byte, len(parts.Layout.Groups))
	for k := range 4 {
		norm, scale := step(t, whole, a, k)
		for i, p := range params {
			load(t, parts, bucket.Gradient, p.Name, gradient(p, i, k))
		}
		got, err := s.Start(bucket.Report{Norm: norm}, 0.01)
		if err != nil || got != scale {
			t.Fatalf("scale %v, want %v: %v", got, scale, err)
		}
		for u := range parts.Layout.Groups {
			w, m, err := s.Update(u, held[u])
			if err != nil {
				t.Fatal(err)
			}
			parts.WriteGroup(bucket.Weight, u, w)
			_, backup, err := s.Update(u, held[u]) // a backup may have the new weights by then
			if err != nil || !bytes.Equal(backup, m) {
				t.Errorf("%s, step %d: the backup has other moments: %v", scope, k, err)
			}
			held[u] = m
			var want []byte
			for _, state := range append([]bucket.State{bucket.Weight}, kept...) {
				x, err := whole.ReadGroup(state, u)
				if err != nil {
					t.Fatal(err)
				}
				want = append(want, x...)
			}
			if !bytes.Equal(append(w, m...), want) {
				t.Fatalf("%s, step %d: group %d has other bits", scope, k, u)
			}
		}
		s.Done()
	}
	if _, err := s.Start(bucket.Report{Norm: math.NaN()}, 1); !errors.As(err, new(*NonFiniteError)) {
		t.Errorf("a norm that is NaN: %v", err)
	}
	if _, _, err := s.Update(0, make([]byte, 3)); err == nil {
		t.Error("moments of another size are taken")
	}
}

// Weights rounded on the host are bf16 values around the given ones, the same every time,
// right in the mean, and padding stays zero.
func TestRound(t *testing.T) {
	e := testEngine(t)
	p := declare("w", param.Linear, 0, 1, 1<<14)
	p.Align = tensor.PackedBlock
	l, err := bucket.Partition([]bucket.Param{p}, bucket.Global, bucket.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := bucket.NewTypedStore(e, l, bucket.Types{bucket.Weight: tensor.BF16})
	if err != nil {
		t.Fatal(err)
	}
	o := newAdamW(t, s)
	const x = 1 + 1.0/1024 // an eighth of the way from 1 to the next value
	round := func(n int64) []float32 {
		v := make([]float32, p.Extent())
		for i := range v[1:] {
			v[1+i] = x
		}
		o.Round("w", n, v)
		return v
	}
	v, mean := round(3), 0.0
	for i, y := range v[1:] {
		if y != 1 && y != 1+1.0/128 {
			t.Fatalf("value %d is rounded to %v", i+1, y)
		}
		mean += float64(y) / float64(len(v)-1)
	}
	if v[0] != 0 || math.Abs(mean-x) > 2e-4 { // six standard deviations of the mean are 1.2e-4
		t.Errorf("zero is rounded to %v, the mean of %v is %v", v[0], x, mean)
	}
	if optest.Bits(v, round(3)) >= 0 || optest.Bits(v, round(4)) < 0 {
		t.Error("the rounding is not a function of the step")
	}
}
