package model

import (
	"testing"

	"concord/internal/param"
	"concord/internal/peft"
)

// Finite differences of the GPU's own loss by the lengths of DoRA's rows, in all layers:
// those of the first depend on the gradient that the second hands down. The norms of the
// rows count as constants in A's and B's gradients, so theirs are no derivatives.
func TestDoRADirections(t *testing.T) {
	c := models()["qwen2"]
	c.Adapter = &peft.Config{Rank: 2, Alpha: 3, Targets: []string{peft.AllLinear}, DoRA: true}
	s := newSetupOf(t, testEngine(t), c, 3)
	randomAdapter(t, s)
	directions(t, s, func(k int, spec Spec) bool { return !spec.Frozen && spec.Kind == param.Norm })
}
