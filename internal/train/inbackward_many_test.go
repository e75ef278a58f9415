package train

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"concord/bucket"
	"concord/gpu"
	"concord/tensor"
)

// Without clipping, three machines that update in the backward pass have the states of
// three that update at its end, to the bit: for every kind of method, scope and state.
func TestInBackwardOnManyMachines(t *testing.T) {
	for name, settings := range map[string][]string{
		"tensor":    {"objective.method=pcgrad", "objective.scope=tensor"},
		"mean":      {"objective.method=mean", "model.dtype=bf16", "optim.moments=int8"},
		"global":    {"objective.method=upgrad", "objective.scope=global", "optim.name=adafactor", "model.dtype=bf16"},
		"elements":  {"objective.method=graddrop"},
		"metric":    {"objective.method=pcgrad", "objective.metric=adam"},
		"lora":      {"objective.method=pcgrad", "adapter.kind=lora", "adapter.rank=4", "objective.scope=tensor"},
		"bf16 wire": {"objective.method=pcgrad", "cluster.wire=bf16", "memory.checkpointing=true"},
		"local":     {"objective.method=mgda", "cluster.resolve=local", "objective.scope=tensor", "optim.moments=bf16"},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(on bool) map[string]string {
				cfg := tiny(t, slices.Concat(sliced, settings, []string{fmt.Sprint("optim.in_backward=", on), "batch.rows=6", "optim.clip=0",
					"optim.lr=0.01", "schedule.warmup=0"})...)
				g := newGang(t, cfg, 3)
				defer g.stop()
				g.steps(3)
				g.replicas(name)
				return rawStates(t, g.all[0])
			}
			sameStates(t, "in the backward pass", run(true), run(false))
		})
	}
}

var errDies = errors.New("killed")

// dying is an updater that fails at its n-th call in a step, from 0 on, once it is armed.
type dying struct {
	bucket.Updater
	armed bool
	at, n int
	dead  bool
}

func (d *dying) Group(i int, rep bucket.BucketReport, norm2 func() (float64, error)) error {
	if d.armed {
		if d.dead = d.dead || d.n == d.at; d.dead {
			return errDies
		}
		d.n++
	}
	return d.Updater.Group(i, rep, norm2)
}

// killable makes a trainer's updates end at a call of its updater.
func killable(t testing.TB, tr *Trainer) *dying {
	t.Helper()
	o := tr.ResolverOptions()
	d := &dying{Updater: o.Update}
	o.Update = d
	tr.Resolver.Release()
	r, err := bucket.NewResolver(tr.Store, o)
	if err != nil {
		t.Fatal(err)
	}
	tr.Resolver = r
	return d
}

// A machine that dies when some groups of a step are applied, and others not, costs
// nothing: the others take back what they have applied and make the step again, to the
// bits of a run in which that machine went between two steps; who comes in its place has
// their bits too.
func TestKilledBetweenTwoGroups(t *testing.T) {
	settings := []string{"optim.in_backward=true", "batch.rows=6", "objective.scope=tensor", "objective.method=pcgrad", "model.dtype=bf16",
		"optim.moments=int8", "optim.lr=0.01", "schedule.warmup=0", "schedule.steps=40"}
	cfg := tiny(t, slices.Concat(sliced, settings)...)
	orderly := newGang(t, cfg, 3)
	orderly.steps(2)
	orderly.close[1]()
	orderly.all, orderly.close = orderly.all[:2], orderly.close[:1]
	orderly.steps(5)
	want, groups := rawStates(t, orderly.all[0]), len(orderly.all[0].Store.Layout.Groups)
	orderly.stop()
	instants := []int{0, groups / 2, groups - 1}
	if everything() {
		instants = instants[:0]
		for k := range groups {
			instants = append(instants, k)
		}
	}
	for _, k := range instants {
		t.Run(fmt.Sprintf("%d of %d", k, groups), func(t *testing.T) {
			g := newGang(t, cfg, 3)
			g.steps(2)
			victim, leave := g.all[2], g.close[1]
			d := killable(t, victim)
			d.armed, d.at = true, k
			g.all, g.close = g.all[:2], g.close[:1]
			done := make(chan error)
			go func() {
				_, err := victim.Step(t.Context())
				leave()
				done <- err
			}()
			g.steps(5)
			if err := <-done; !errors.Is(err, errDies) {
				t.Errorf("the machine that dies: %v", err)
			}
			if d.n != k {
				t.Errorf("it had %d groups", d.n)
			}
			g.replicas("without it")
			if !maps.Equal(rawStates(t, g.all[0]), want) {
				t.Error("other bits than of a run in which it went between two steps")
			}
			g.join()
			g.steps(20)
			g.replicas("with one in its place")
			g.stop()
		})
	}
}

// A group's owner is replaced when others have applied what it sent: the gradient of the
// next one counts, and nothing of the first is left.
func TestAnotherGradientOfAGroup(t *testing.T) {
	tr := open(t, tiny(t, "optim.in_backward=true", "objective.method=pcgrad", "model.dtype=bf16", "optim.moments=int8", "batch.rows=6"))
	steps(t, tr, 1)
	before := rawStates(t, tr)
	u := tr.ResolverOptions().Update
	apply := func(x float32) map[string]string {
		rep := bucket.BucketReport{Name: "0", Size: tr.Store.Layout.Groups[0].Size, Norm2: 1}
		if err := u.Group(0, rep, func() (float64, error) { return 1, nil }); err != nil {
			t.Fatal(err)
		}
		for _, b := range tr.Store.Layout.Groups[0].Buckets {
			for _, p := range tr.Store.Layout.Buckets[b].Params {
				g := tr.Engine.New(gpu.RoleScratch, "g", 1, p.Extent())
				tr.Engine.Upload(g, slices.Repeat([]float32{x}, p.Extent()))
				u.Apply(p, func(f func(int, tensor.Tensor)) { f(0, g) })
				g.Buf.Release()
			}
		}
		return rawStates(t, tr)
	}
	tr.BeginUpdate(1, []int{1, 1, 1})
	want := apply(0.25)
	if err := u.Again(0); err != nil {
		t.Fatal(err)
	}
	sameStates(t, "taken back", rawStates(t, tr), before)
	if maps.Equal(apply(-1), want) {
		t.Fatal("another gradient changes nothing")
	}
	if err := u.Again(0); err != nil {
		t.Fatal(err)
	}
	sameStates(t, "the next gradient", apply(0.25), want)
	if err := tr.Undo(); err != nil {
		t.Fatal(err)
	}
	sameStates(t, "undone", rawStates(t, tr), before)
}
