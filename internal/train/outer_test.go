package train

import (
	"fmt"
	"slices"
	"testing"

	"concord/bucket"
	"concord/internal/step"
	"concord/internal/train/traintest"
)

var outerSteps = append(slices.Clone(exact), "cluster.outer=3", "schedule.steps=7", "schedule.warmup=0", "eval.every=0")

// One machine whose outer optimizer takes the change as it is makes the steps of a
// run without outer steps, whatever the method makes of languages that agree.
func TestOuterStepsOfOneMachine(t *testing.T) {
	for _, method := range sharedMethods() {
		cfg := withMethod(t, tiny(t, append(slices.Clone(outerSteps), "cluster.outer_lr=1", "cluster.outer_momentum=0",
			"objective.gram=rows")...), method)
		plain := alone(t, cfg)
		steps(t, plain, 7)
		g := newGang(t, cfg, 1)
		g.steps(7)
		if n := g.all[0].machines.Exchanges(); n != 3 {
			t.Errorf("%d exchanges", n)
		}
		for _, s := range step.States {
			if e := traintest.NMSE(values(t, g.all[0], s), values(t, plain, s)); e > 1e-9 {
				t.Errorf("%s: %s differs from plain training's: NMSE %.3g", method, s, e)
			}
		}
		g.stop()
	}
}

// Three machines hold the same weights after every round, learn, and do the same
// twice; a fourth that joins holds them too.
func TestOuterStepsOfManyMachines(t *testing.T) {
	var first []float32
	for range 2 {
		g := newGang(t, tiny(t, append(slices.Clone(outerSteps), "objective.method=pcgrad", "cluster.wire=int8", "schedule.steps=24",
			"optim.lr=0.003")...), 3)
		g.steps(3)
		before := g.all[0].machines.Plan().Outcome()
		g.steps(18)
		g.replicas("3 machines")
		after := g.all[0].machines.Plan().Outcome()
		for m := range after.Loss {
			was, is := before.Loss[m]/float64(before.Tokens[m]), after.Loss[m]/float64(after.Tokens[m])
			if is > 0.95*was {
				t.Errorf("the loss of language %d was %.3f and is %.3f", m, was, is)
			}
		}
		if got := values(t, g.all[0], bucket.Weight); first == nil {
			first = got
		} else if !slices.Equal(got, first) {
			t.Error("the same run twice gave other bits")
		}
		late := g.join()
		g.steps(24)
		if late.Done != 24 {
			t.Errorf("the late machine is at step %d", late.Done)
		}
		g.replicas("with one more")
		g.stop()
	}
}

// Conflicts between changes are resolved: methods differ, and mgda's change is not
// at odds with any language's.
func TestOuterStepsResolve(t *testing.T) {
	change := func(method string) []float32 {
		g := newGang(t, tiny(t, append(slices.Clone(outerSteps), "objective.method="+method, "data.temperature=1000000")...), 3)
		defer g.stop()
		g.steps(6)
		if _, ok := g.all[0].Grams(); !ok && method != "mean" {
			t.Errorf("%s: no Gram of the changes", method)
		}
		return values(t, g.all[0], bucket.Gradient)
	}
	if e := traintest.NMSE(change("mgda"), change("mean")); e < 1e-4 {
		t.Errorf("mgda changed what mean did: NMSE %.3g", e)
	}
}

// A round that is done again starts from what was before it, and one that is
// resumed from what was saved, to the same bits.
func TestOuterStepsAgain(t *testing.T) {
	cfg := tiny(t, append(slices.Clone(outerSteps), "objective.method=pcgrad", "objective.ema=0.5")...)
	whole := newGang(t, cfg, 1)
	whole.steps(7)
	want := values(t, whole.all[0], bucket.Weight)
	whole.stop()

	g := newGang(t, cfg, 1)
	g.steps(3)
	tr, dir := g.all[0], t.TempDir()
	before := values(t, tr, bucket.Weight)
	if err := tr.save(t.Context(), dir, state{Saved: tr.saved()}); err != nil {
		t.Fatal(err)
	}
	local, err := tr.Exchange.Begin(t.Context(), 3) // a round that comes to nothing
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range local.Micros {
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Input.Upload(m.Tokens); err != nil {
			t.Fatal(err)
		}
		tr.Model.Forward(tr.Input)
		tr.Model.Backward(tr.Input, m.Sink, m.Losses)
	}
	if slices.Equal(values(t, tr, bucket.Weight), before) {
		t.Fatal("the round changed nothing")
	}
	g.steps(7)
	if !slices.Equal(values(t, tr, bucket.Weight), want) {
		t.Error("a round that was done again left traces")
	}
	g.stop()

	r := resumeGang(t, cfg, dir, 1)
	r.steps(7)
	if !slices.Equal(values(t, r.all[0], bucket.Weight), want) {
		t.Error("the resumed run has other bits")
	}
	r.stop()
}

func TestOuterStepsCount(t *testing.T) {
	tr := open(t, tiny(t, append(slices.Clone(outerSteps), "batch.rows=2")...))
	for _, c := range []struct{ step, exchanges int }{{0, 0}, {3, 1}, {6, 2}, {7, 3}} {
		if tr.Done = c.step; tr.machines.Exchanges() != c.exchanges || tr.machines.StepAfter(c.exchanges) != c.step {
			t.Errorf("step %d: %d exchanges, after which is step %d", c.step, tr.machines.Exchanges(), tr.machines.StepAfter(c.exchanges))
		}
	}
	var saved []int
	for _, tr.Done = range []int{3, 6, 7} {
		if tr.crossed(4) {
			saved = append(saved, tr.Done)
		}
	}
	if fmt.Sprint(saved) != "[6]" {
		t.Errorf("multiples of 4 were passed at %v", saved)
	}
}
