package optim

import (
	"errors"
	"math"
	"testing"

	"concord/bucket"
	"concord/internal/optest"
)

// TestShard compares updates of groups whose moments are in host memory with
// AdamW's own: the weights and moments are the same bits, in every scope, and a
// backup's moments are the same up to rounding.
func TestShard(t *testing.T) {
	e := testEngine(t)
	for _, scope := range []string{"tensor", "layer", "global"} {
		whole, parts := newStore(t, e, scope), newStore(t, e, scope)
		a, b := newAdamW(t, whole), newAdamW(t, parts)
		s := b.NewShard()
		held, backup := make([][]float32, len(parts.Layout.Groups)), make([][]float32, len(parts.Layout.Groups))
		for k := range 4 {
			norm, scale := step(t, whole, a, k)
			for i, p := range params {
				load(t, parts, bucket.Gradient, p.Name, gradient(p, i, k))
			}
			got, err := s.Start(bucket.Report{Norm: norm}, 0.01)
			if err != nil || got != scale {
				t.Fatalf("scale %v, want %v: %v", got, scale, err)
			}
			updated := map[int][]float32{}
			for u, unit := range parts.Layout.Groups {
				w, m, err := s.Update(u, held[u])
				if err != nil {
					t.Fatal(err)
				}
				var g []float32
				for _, b := range unit.Buckets {
					x, err := e.Download(parts.Flat(bucket.Gradient, b))
					if err != nil {
						t.Fatal(err)
					}
					g = append(g, x...)
				}
				backup[u] = s.Moments(backup[u], g)
				if err := optest.Compare(backup[u], m, 1e-12); err != nil {
					t.Errorf("%s: the backup of %s: %v", scope, unit.Name, err)
				}
				held[u], updated[u] = m, w
			}
			for u, unit := range parts.Layout.Groups {
				at := 0
				for _, b := range unit.Buckets {
					n := parts.Layout.Buckets[b].Size
					e.Upload(parts.Flat(bucket.Weight, b), updated[u][at:at+n])
					at += n
				}
			}
			s.Done()
			for _, p := range params {
				if i := optest.Bits(read(t, whole, bucket.Weight, p.Name), read(t, parts, bucket.Weight, p.Name)); i >= 0 {
					t.Fatalf("%s, step %d: %s has other bits at %d", scope, k, p.Name, i)
				}
			}
		}
		if _, err := s.Start(bucket.Report{Norm: math.NaN()}, 1); !errors.As(err, new(*NonFiniteError)) {
			t.Errorf("a norm that is NaN: %v", err)
		}
		if _, _, err := s.Update(0, make([]float32, 3)); err == nil {
			t.Error("moments of another size are taken")
		}
		s.Release()
	}
}
