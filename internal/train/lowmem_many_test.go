package train

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"concord/bucket"
	"concord/internal/train/traintest"
)

// lowMemory are kinds of states that take less memory than float32.
var lowMemory = map[string][]string{
	"bf16 and int8": {"model.dtype=bf16", "optim.moments=int8"},
	"moments bf16":  {"optim.moments=bf16"},
	"adafactor":     {"model.dtype=bf16", "optim.name=adafactor"},
}

// sharing are the ways in which machines share a step.
var sharing = map[string][]string{
	"gradients":  nil,
	"local":      {"cluster.resolve=local"},
	"parameters": {"cluster.sync=parameters", "cluster.wire=bf16"},
	"outer":      {"cluster.outer=2"},
}

// everything says that tests make all combinations, of which they take a handful
// otherwise: CONCORD_EVERYTHING=1.
func everything() bool { return os.Getenv("CONCORD_EVERYTHING") != "" }

// wholeStates are all states of a run, wherever its machines have them.
func wholeStates(t testing.TB, g *gang) map[string]string {
	t.Helper()
	return statesIn(t, g.all[0], g.all[0].exchange.Reader(t.Context()))
}

// Three machines make, of every kind of states, the updates of one from the same
// gradients, to the bit: with the same random bits. A fourth joins and has them too.
func TestLowMemoryOnManyMachines(t *testing.T) {
	for kind, states := range lowMemory {
		for how, settings := range sharing {
			if !everything() && how != "parameters" && (kind == "bf16 and int8") == (how == "local") {
				continue
			}
			t.Run(kind+"/"+how, func(t *testing.T) {
				cfg := tiny(t, slices.Concat(exact, states, settings, []string{"schedule.warmup=0", "schedule.steps=20", "optim.clip=0",
					"objective.method=pcgrad", "cluster.check_every=2", "batch.rows=8"})...)
				g := newGang(t, cfg, 3)
				one := alone(t, cfg)
				for n := range 3 {
					g.steps(n + 1)
					if how != "outer" {
						sameUpdate(t, g, one, n)
					}
				}
				g.replicas("three")
				g.join()
				g.steps(12) // far enough for the newcomer to take part
				g.replicas("with a fourth")
				g.stop()
			})
		}
	}
}

// sameUpdate makes step n's update on one machine from the gradients of a run on many.
func sameUpdate(t *testing.T, g *gang, one *Trainer, n int) {
	t.Helper()
	for u := range one.Store.Layout.Groups {
		for _, tr := range g.all { // an owner has its groups' gradients
			if p := tr.machines.Plan(); tr.cfg.Sharded() && !slices.Contains(p.Mine(), u) {
				continue
			}
			b, err := tr.Store.ReadGroup(bucket.Gradient, u)
			if err != nil {
				t.Fatal(err)
			}
			one.Store.WriteGroup(bucket.Gradient, u, b)
		}
	}
	if _, err := one.Adam.Step(bucket.Report{}, one.LR(n)); err != nil {
		t.Fatal(err)
	}
	sameStates(t, fmt.Sprintf("step %d", n+1), wholeStates(t, g), rawStates(t, one))
}

// The first gradient of many machines is one machine's, also of weights of bf16; outer
// steps of one machine that take the change as it is are the steps of a run without them.
func TestLowMemoryIsOneMachine(t *testing.T) {
	for kind, states := range lowMemory {
		if !everything() && kind != "bf16 and int8" {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			cfg := tiny(t, slices.Concat(exact, states, []string{"schedule.warmup=0", "objective.method=pcgrad", "objective.gram=rows"})...)
			one := alone(t, cfg)
			steps(t, one, 1)
			g := newGang(t, cfg, 3)
			g.steps(1)
			if e := traintest.NMSE(values(t, g.all[0], bucket.Gradient), values(t, one, bucket.Gradient)); e > 1e-9 {
				t.Errorf("the first gradient of three machines differs: NMSE %.3g", e)
			}
			g.stop()
			steps(t, one, 3)
			c := *cfg
			c.Cluster.Outer, c.Cluster.OuterLR, c.Cluster.OuterMoment = 2, 1, 0
			o := newGang(t, &c, 1)
			o.steps(4)
			got, want := values(t, o.all[0], bucket.Weight), values(t, one, bucket.Weight)
			if e := traintest.NMSE(got, want); e > 1e-6 { // a weight may be rounded the other way
				t.Errorf("outer steps: other weights: NMSE %.3g", e)
			}
			o.stop()
		})
	}
}

// A run of three machines that is resumed has, in every low-memory mode and every way to
// share a step, the bits of one that did not stop. State that machines hold alone, as with
// outer steps, needs their folders: TestResumeIsExactOnManyMachines of the program.
func TestLowMemoryResumes(t *testing.T) {
	for kind, states := range lowMemory {
		for how, settings := range sharing {
			if how == "outer" || !everything() && (kind+how != "bf16 and int8"+"parameters" && kind+how != "adafactor"+"gradients") {
				continue
			}
			t.Run(kind+"/"+how, func(t *testing.T) {
				resumesExactly(t, slices.Concat(states, settings, []string{"objective.method=pcgrad"}))
			})
		}
	}
}

// resumesExactly stops a run of three machines after two of its four steps.
func resumesExactly(t *testing.T, settings []string) {
	t.Helper()
	cfg := tiny(t, slices.Concat(exact, settings, []string{"schedule.steps=4", "schedule.warmup=0", "optim.lr=0.01", "eval.every=0",
		"batch.rows=6"})...)
	whole := newGang(t, cfg, 3)
	whole.steps(4)
	want := wholeStates(t, whole)
	whole.stop()
	g := newGang(t, cfg, 3)
	g.steps(2)
	r := g.resumed(cfg, 3)
	r.steps(4)
	r.replicas("resumed")
	sameStates(t, "resumed", wholeStates(t, r), want)
	r.stop()
}
