package train

import (
	"context"
	"errors"
	"slices"
	"testing"

	"concord/bucket"
	"concord/gpu"
	"concord/internal/device"
	"concord/internal/step"
)

// sync = "parameters" is sync = "gradients" to the bit, weights and moments, where
// all devices are of a kind; and no machine keeps moments on its device.
func TestParametersAreGradients(t *testing.T) {
	for _, settings := range [][]string{
		{},
		{"cluster.wire=bf16", "optim.clip=0.05", "optim.weight_decay=0.1"},
		{"objective.scope=global", "objective.method=mgda"},
		{"cluster.resolve=local", "batch.rows=2", "batch.accumulate=3"},
	} {
		for _, n := range []int{1, 3} {
			run := func(sync string) *gang {
				cfg := tiny(t, slices.Concat(exact, settings, []string{"schedule.warmup=0", "cluster.sync=" + sync})...)
				g := newGang(t, cfg, n)
				g.steps(4)
				g.replicas(sync)
				return g
			}
			want, got := run("gradients"), run("parameters")
			a, b := want.all[0], got.all[n-1]
			read := got.all[0].exchange.Reader(t.Context())
			for _, s := range step.States {
				x := values(t, a, s)
				if s == bucket.Weight {
					if !slices.Equal(x, values(t, b, s)) {
						t.Errorf("%v, %d machines: other weights", settings, n)
					}
					continue
				}
				var y []float32
				for _, p := range device.Params(a.Arch) {
					v, err := read.Read(s, p.Name)
					if err != nil {
						t.Fatal(err)
					}
					y = append(y, v...)
				}
				if !slices.Equal(x, y) {
					t.Errorf("%v, %d machines: other %s", settings, n, s)
				}
			}
			if whole, none := a.Memory().Roles[gpu.RoleOptimizer].Current, b.Memory().Roles[gpu.RoleOptimizer].Current; none*2 > whole &&
				len(b.Store.Layout.Buckets) > 3 {
				t.Errorf("%d bytes of the optimizer on the device, %d where it keeps the moments", none, whole)
			}
			want.stop()
			got.stop()
		}
	}
}

// Moments that other machines hold are fetched until the context ends, as a user's
// Ctrl-C ends it; the checkpoint of an interrupted run still gets them.
func TestFetchingMomentsEnds(t *testing.T) {
	g := newGang(t, tiny(t, append(slices.Clone(exact), "cluster.sync=parameters")...), 3)
	g.steps(2)
	tr := g.all[0]
	ended, end := context.WithCancel(t.Context())
	end()
	read, failed := tr.exchange.Reader(ended), 0
	for _, p := range device.Params(tr.Arch) {
		if _, err := read.Read(bucket.First, p.Name); err != nil {
			failed++
			if !errors.Is(err, ErrCluster) || !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", p.Name, err)
			}
		}
	}
	if failed == 0 {
		t.Error("no moments of other machines were asked for")
	}
	if err := tr.save(ended, t.TempDir(), state{Saved: tr.saved()}); err != nil {
		t.Errorf("the interrupted run's checkpoint: %v", err)
	}
	g.stop()
}
