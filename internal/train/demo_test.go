package train

import (
	"io"
	"testing"

	"concord/internal/config"
	"concord/internal/train/traintest"
)

// On the shipped demo, resolving eight languages' conflicts layer by layer
// takes at most 1.05 times the memory of the plain mean. (What it takes in time
// is for `concord bench step` to say: no timed test here.)
func TestDemoMemory(t *testing.T) {
	traintest.RequireAdapter(t)
	peak := map[string]int64{}
	for _, method := range []string{"mean", "pcgrad"} {
		cfg, err := config.Load("../../examples/names8/run.toml", []string{"objective.method=" + method, "device.autotune=false"})
		if err != nil {
			t.Fatal(err)
		}
		tr, err := Open(cfg, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		peak[method] = tr.Memory().Peak
		tr.Close()
	}
	if ratio := float64(peak["pcgrad"]) / float64(peak["mean"]); ratio > 1.05 {
		t.Errorf("pcgrad takes %d bytes, mean %d: %.3fx", peak["pcgrad"], peak["mean"], ratio)
	} else {
		t.Logf("pcgrad over mean: %.3fx", ratio)
	}
}
