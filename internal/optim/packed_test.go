package optim

import (
	"fmt"
	"testing"

	"concord/bucket"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// packedTypes are the kinds of states that a run may have besides all float32.
var packedTypes = []bucket.Types{
	{bucket.Weight: tensor.BF16},
	{bucket.First: tensor.BF16, bucket.Second: tensor.BF16},
	{bucket.First: tensor.Dynamic8, bucket.Second: tensor.Dynamic8Root},
	{bucket.Weight: tensor.BF16, bucket.First: tensor.Dynamic8, bucket.Second: tensor.Dynamic8Root},
}

// newPacked is a store of such states, with an optimizer.
func newPacked(t testing.TB, e *tensor.Engine, scope string, types bucket.Types, seed uint64) (*bucket.Store, *AdamW) {
	t.Helper()
	var aligned []bucket.Param
	for _, p := range params {
		p.Align = tensor.PackedBlock
		aligned = append(aligned, p)
	}
	l, err := bucket.Partition(aligned, scopes[scope], bucket.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := bucket.NewTypedStore(e, l, types, bucket.Training...)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range params {
		load(t, s, bucket.Weight, p.Name, optest.Random(p.Size(), uint64(i)))
	}
	c := config
	c.Seed = seed
	o, err := New(s, c)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

// raws are all states as they lie in memory, by state and parameter.
func raws(t testing.TB, s *bucket.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, p := range params {
		for _, state := range []bucket.State{bucket.Weight, bucket.First, bucket.Second} {
			b, err := s.Raw(state, p.Name)
			if err != nil {
				t.Fatal(err)
			}
			out[string(state)+"/"+p.Name] = string(b)
		}
	}
	return out
}

// TestPackedStep holds packed states near those of float32, to the same bits in every
// scope and for the same seed, to others for another seed, and a move to another store
// by Raw and LoadRaw to go on to the same bits.
func TestPackedStep(t *testing.T) {
	e := testEngine(t)
	exact := newStore(t, e, "layer")
	reference := newAdamW(t, exact)
	for k := range 6 {
		step(t, exact, reference, k)
	}
	for _, types := range packedTypes {
		t.Run(fmt.Sprint(types), func(t *testing.T) {
			var first map[string]string
			for _, scope := range []string{"tensor", "global"} {
				s, o := newPacked(t, e, scope, types, 7)
				for k := range 3 {
					step(t, s, o, k)
				}
				other, continued := newPacked(t, e, "layer", types, 7) // its weights, too, are replaced
				for _, p := range params {
					for _, state := range []bucket.State{bucket.Weight, bucket.First, bucket.Second} {
						b, err := s.Raw(state, p.Name)
						if err == nil {
							err = other.LoadRaw(state, p.Name, b)
						}
						if err != nil {
							t.Fatal(err)
						}
					}
				}
				continued.SetSteps(o.Steps())
				for k := 3; k < 6; k++ {
					step(t, s, o, k)
					step(t, other, continued, k)
				}
				got := raws(t, s)
				if first == nil {
					first = got
				}
				resumed := raws(t, other)
				for name := range got {
					if got[name] != first[name] {
						t.Errorf("%s: %s has other bits", scope, name)
					}
					if got[name] != resumed[name] {
						t.Errorf("%s: %s has other bits after a move", scope, name)
					}
				}
			}
			s, o := newPacked(t, e, "layer", types, 8)
			for k := range 6 {
				step(t, s, o, k)
			}
			other := raws(t, s)
			differ := false
			for name := range other {
				differ = differ || other[name] != first[name]
			}
			if !differ {
				t.Error("another seed rounds to the same bits")
			}
			for _, p := range params {
				if err := optest.Compare(read(t, s, bucket.Weight, p.Name), read(t, exact, bucket.Weight, p.Name), 1e-4); err != nil {
					t.Errorf("%s against float32: %v", p.Name, err)
				}
			}
		})
	}
}

// TestPackedBytes states what a parameter takes: 2 bytes of bf16 and 1 + 1/64 of each
// 8-bit moment.
func TestPackedBytes(t *testing.T) {
	e := testEngine(t)
	s, _ := newPacked(t, e, "layer", packedTypes[3], 1)
	got := map[bucket.State]int64{}
	for _, state := range []bucket.State{bucket.Weight, bucket.First, bucket.Second} {
		got[state] = s.Whole(state, "embedding").Bytes()
	}
	p, _ := s.Layout.Place("embedding")
	n := int64(p.Extent())
	if got[bucket.Weight] != 2*n || got[bucket.First] != n+n/64 || got[bucket.Second] != n+n/64 {
		t.Errorf("%d elements take %v", n, got)
	}
	if _, err := bucket.NewTypedStore(e, newStore(t, e, "layer").Layout, packedTypes[0]); err == nil {
		t.Error("a layout with parameters at any place is taken")
	}
}

// TestFactoredStep compares updates with Adafactor's twin, vectors without decay, to the
// same bits in every scope and by Apply.
func TestFactoredStep(t *testing.T) {
	e := testEngine(t)
	var first map[string]string
	for _, scope := range []bucket.Scope{bucket.ByTensor, bucket.Global} {
		l, err := bucket.Partition(params, scope, bucket.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := bucket.NewStore(e, l, bucket.Gradient, bucket.Factors)
		if err != nil {
			t.Fatal(err)
		}
		c := config
		c.Factored, c.Clip = true, 0
		o, err := New(s, c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(o.Release)
		want := map[string][3][]float32{}
		for i, p := range params {
			w := optest.Random(p.Size(), uint64(i))
			load(t, s, bucket.Weight, p.Name, w)
			want[p.Name] = [3][]float32{w, make([]float32, p.R), make([]float32, p.C)}
		}
		for k := range 3 {
			for i, p := range params {
				g, x, decay := gradient(p, i, k), want[p.Name], c.WeightDecay
				if p.Kind.Vector() {
					decay = 0
				}
				load(t, s, bucket.Gradient, p.Name, g)
				ref.Factored(x[0], x[1], x[2], g, 0.01, c.Beta2, c.Eps, decay, int64(k+1), 1)
				if scope == bucket.Global && k == 2 {
					place, _ := l.Place(p.Name)
					o.Apply(place, func(f func(int, tensor.Tensor)) { f(0, s.Whole(bucket.Gradient, p.Name)) }, 0.01, 1)
				}
			}
			if scope == bucket.Global && k == 2 {
				o.Done()
			} else if _, err := o.Step(bucket.Report{Norm: 1}, 0.01); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]string{}
		for _, p := range params {
			for _, state := range []bucket.State{bucket.Weight, bucket.Factors} {
				b, err := s.Raw(state, p.Name)
				if err != nil {
					t.Fatal(err)
				}
				got[string(state)+"/"+p.Name] = string(b)
			}
			place, _ := l.Place(p.Name)
			rows, columns := s.Factors(s.Buffer(bucket.Factors, place.Bucket), p.Name)
			for i, x := range []tensor.Tensor{s.Weight(p.Name), rows, columns} {
				v, err := e.Download(x)
				if err != nil {
					t.Fatal(err)
				}
				if err := optest.Compare(v, want[p.Name][i], 1e-10); err != nil {
					t.Errorf("%v: value %d of %s: %v", scope, i, p.Name, err)
				}
			}
		}
		if first == nil {
			first = got
		}
		for name := range got {
			if got[name] != first[name] {
				t.Errorf("%v: %s has other bits", scope, name)
			}
		}
	}
}
