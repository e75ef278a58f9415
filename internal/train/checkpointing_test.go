package train

import (
	"slices"
	"testing"

	"concord/bucket"
	"concord/internal/train/traintest"
)

// Checkpointing changes no bit of losses and weights, in any family, with rows in lent
// memory or not, tied and untied, over micro-batches, and takes less for activations.
func TestCheckpointing(t *testing.T) {
	traintest.RequireAdapter(t)
	runs := map[string]string{"llama": traintest.Run(t, nil), "untied": traintest.UntiedRun(t, nil)}
	for name, text := range familyConfigs {
		runs[name] = traintest.FamilyRun(t, text, nil)
	}
	settings := map[string][]string{"rows": {"objective.gram=rows"}}
	few := map[string][]string{ // where the resolver, not the family, decides
		"ghost": {"objective.gram=ghost"}, "mean": {"objective.method=mean"}, "micro-batches": {"batch.rows=3", "batch.accumulate=2"},
		"global": {"objective.scope=global", "objective.in_flight=2"}, "lora": {"adapter.kind=lora", "adapter.rank=4", "objective.gram=rows"}, "frozen": {`model.freeze=["*layers.0.*", "*embed*"]`},
	}
	for name, file := range runs {
		for setting, overrides := range settings {
			t.Run(name+" "+setting, func(t *testing.T) { sameBitsCheckpointed(t, file, overrides) })
		}
		if name != "llama" && name != "untied" {
			continue
		}
		for setting, overrides := range few {
			t.Run(name+" "+setting, func(t *testing.T) { sameBitsCheckpointed(t, file, overrides) })
		}
	}
}

func sameBitsCheckpointed(t *testing.T, file string, overrides []string) {
	t.Helper()
	run := func(on string) (losses []float64, weights []float32) {
		tr := open(t, load(t, file, append(slices.Clone(overrides), "memory.checkpointing="+on)...))
		return steps(t, tr, 3), values(t, tr, bucket.Weight)
	}
	losses, weights := run("false")
	again, same := run("true")
	if !slices.Equal(losses, again) {
		t.Errorf("losses %v, with checkpointing %v", losses, again)
	}
	if !slices.Equal(weights, same) {
		t.Error("the weights are others with checkpointing")
	}
}

// Machines with and without checkpointing make one run.
func TestCheckpointingOnManyMachines(t *testing.T) {
	var want []float32
	for _, first := range []string{"false", "true"} {
		cfg := tiny(t, append(slices.Clone(exact), "memory.checkpointing="+first)...)
		g := newGang(t, cfg, 2, "memory.checkpointing=true")
		g.steps(3)
		g.replicas("checkpointing")
		if got := values(t, g.all[0], bucket.Weight); want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Error("other weights with checkpointing")
		}
		g.stop()
	}
}
