package train

import (
	"io"
	"math"
	"testing"

	"concord/internal/device"
	"concord/internal/train/traintest"
	"concord/tensor"
)

// Embeddings and head that are not trained lie on the device as model.embedding_type says,
// tied and not, beside every base; where they are trained it is refused.
func TestEmbeddingType(t *testing.T) {
	for tied, make := range map[bool]func(testing.TB, map[string]string) string{true: traintest.Run, false: traintest.UntiedRun} {
		path := make(t, nil)
		exact := steps(t, open(t, load(t, path, "adapter.kind=lora", "adapter.rank=2")), 1)[0]
		for name, want := range map[string]tensor.DType{"": tensor.Int8, "f32": tensor.F32, "bf16": tensor.BF16, "int8": tensor.Int8,
			"nf4": tensor.NF4} {
			tr := open(t, load(t, path, "adapter.kind=lora", "adapter.rank=2", "model.base_type=nf4", "model.dtype=bf16",
				"model.embedding_type="+name))
			n := 0
			for _, p := range tr.Store.Layout.Frozen {
				if device.OfVocabulary(p.Spec) {
					if got := tr.Store.Weight(p.Name).DType; got != want {
						t.Errorf("tied %v, %q: %s is of type %v", tied, name, p.Name, got)
					}
					n++
				}
			}
			if n == 0 || n == 1 != tied {
				t.Errorf("tied %v: %d matrices", tied, n)
			}
			if loss := steps(t, tr, 1)[0]; math.Abs(loss-exact) > 0.2 {
				t.Errorf("tied %v, %q: the loss is %v, of exact weights %v", tied, name, loss, exact)
			}
		}
		_, err := Open(load(t, path, "adapter.kind=lora", "adapter.rank=2", `adapter.save=["embed_tokens", "lm_head"]`,
			"model.embedding_type=nf4"), io.Discard)
		if err == nil {
			t.Errorf("tied %v: a type of trained embeddings is taken", tied)
		}
	}
}
