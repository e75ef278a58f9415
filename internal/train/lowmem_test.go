package train

import (
	"io"
	"maps"
	"strings"
	"testing"

	"concord/bucket"
	"concord/internal/device"
	"concord/internal/optest"
	"concord/internal/train/traintest"
	"concord/tensor"
)

// Weights of bf16 give, in every family, the loss and the gradients of a float32 model
// with the same rounded weights.
func TestBF16WeightsComputeTheSame(t *testing.T) {
	traintest.RequireAdapter(t)
	runs := map[string]string{"llama": traintest.Run(t, nil), "untied": traintest.UntiedRun(t, nil)}
	for name, text := range familyConfigs {
		runs[name] = traintest.FamilyRun(t, text, nil)
	}
	for name, file := range runs {
		t.Run(name, func(t *testing.T) {
			packed, exact := open(t, load(t, file, "model.dtype=bf16", "objective.method=pcgrad")), open(t, load(t, file, "objective.method=pcgrad"))
			matrices := 0
			for _, p := range device.Params(exact.Arch) {
				w, err := packed.Store.Read(bucket.Weight, p.Name)
				if err == nil {
					err = exact.Store.Load(bucket.Weight, p.Name, w)
				}
				if err != nil {
					t.Fatal(err)
				}
				if packed.Store.Weight(p.Name).DType == tensor.BF16 {
					matrices++
				}
			}
			if matrices == 0 {
				t.Error("no matrix is of bf16")
			}
			a, b := steps(t, packed, 1), steps(t, exact, 1)
			if err := optest.Compare([]float32{float32(a[0])}, []float32{float32(b[0])}, 1e-12); err != nil {
				t.Errorf("the loss: %v", err)
			}
			got, want := weightsOf(t, packed), weightsOf(t, exact)
			for name := range maps.Keys(got) {
				if err := optest.Compare(got[name], want[name], 1e-4); err != nil {
					t.Errorf("%s after a step: %v", name, err)
				}
			}
			if err := optest.Compare(values(t, packed, bucket.Gradient), values(t, exact, bucket.Gradient), 1e-10); err != nil {
				t.Errorf("the gradient: %v", err)
			}
		})
	}
}

// Every kind of states trains, is a function of the seed alone, and learns as float32
// does.
func TestPackedStatesTrain(t *testing.T) {
	run := func(overrides ...string) ([]float64, []float32) {
		tr := open(t, tiny(t, append(overrides, "objective.method=pcgrad", "optim.lr=0.003", "schedule.warmup=0")...))
		return steps(t, tr, 12), values(t, tr, bucket.Weight)
	}
	exact, _ := run()
	for _, modes := range [][]string{{"optim.name=adafactor", "model.dtype=bf16"}, {"model.dtype=bf16"}, {"optim.moments=bf16"},
		{"optim.moments=int8"}, {"model.dtype=bf16", "optim.moments=int8"}} {
		losses, weights := run(modes...)
		_, again := run(modes...)
		if i := optest.Bits(weights, again); i >= 0 {
			t.Errorf("%v: other bits the second time, at %d", modes, i)
		}
		fell, want := losses[0]-losses[11], exact[0]-exact[11]
		least, most := 0.9, 1.1
		if modes[0] == "optim.name=adafactor" { // another optimizer
			least, most = 0.5, 2
		}
		if fell < least*want || fell > most*want {
			t.Errorf("%v: the loss fell by %v, with float32 by %v", modes, fell, want)
		}
	}
}

// A checkpoint of other states is refused, and says which.
func TestStatesOfAnotherType(t *testing.T) {
	for _, c := range [][2]string{{"optim.moments=int8", "optim.moments=bf16"}, {"model.dtype=bf16", "model.dtype=f32"}} {
		from := open(t, tiny(t, c[0]))
		steps(t, from, 1)
		dir := t.TempDir()
		if err := from.save(t.Context(), dir, state{Saved: from.saved()}); err != nil {
			t.Fatal(err)
		}
		path, err := latest(dir, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		to := open(t, tiny(t, c[1]))
		s, err := readState(path, to.cfg)
		if err == nil {
			err = to.restore(path, s)
		}
		if err == nil || !strings.Contains(err.Error(), "fix: model.dtype and optim.moments as they were") {
			t.Errorf("%v: %v", c, err)
		}
	}
}
