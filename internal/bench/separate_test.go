package bench

import (
	"reflect"
	"testing"

	"concord/gpu"
	"concord/internal/train"
)

// Every pass of a step has the gradient of its language, as after a forward pass of its own.
func TestSeparatePasses(t *testing.T) {
	device(t, gpu.Options{})
	for _, setting := range []string{"memory.checkpointing=false", "memory.checkpointing=true"} {
		o := MooOptions{StepOptions: StepOptions{Methods: []string{"mean"}, Steps: 1, Warmup: 1, Warn: t.Output()}, Baseline: "pcgrad"}
		runs, err := openRuns([]variant{separatePasses(train.Vary(tiny(t, setting)), o)}, t.Output())
		for _, r := range runs {
			defer r.close()
		}
		if err != nil {
			t.Fatal(err)
		}
		s := runs[0].separate
		rows := func() (out [][]float32) {
			for _, all := range s.all {
				x, err := s.Engine.Download(all)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, x)
			}
			return out
		}
		b := s.Sampler.Batch(0)
		p := s.Whole(b)
		if err := s.Input.Upload(p.TokensOf(0, nil)); err != nil {
			t.Fatal(err)
		}
		for m := range s.Langs {
			s.Model.Forward(s.Input)
			if err := s.backward(p, m); err != nil {
				t.Fatal(err)
			}
		}
		want := rows()
		if _, err := s.step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := rows(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the gradients of a step's passes are others than those of passes by themselves", setting)
		}
	}
}
