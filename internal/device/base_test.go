package device

import (
	"testing"

	"concord/internal/model"
	"concord/internal/param"
	"concord/tensor"
)

// In four bits lie the layers' matrices; embedding and head take eight, vectors float32.
func TestBaseType(t *testing.T) {
	for _, c := range []struct {
		base tensor.DType
		kind param.Kind
		want tensor.DType
	}{
		{tensor.NF4, param.Linear, tensor.NF4}, {tensor.NF4, param.Embedding, tensor.Int8}, {tensor.NF4, param.Head, tensor.Int8},
		{tensor.NF4, param.Norm, tensor.F32}, {tensor.BF16, param.Embedding, tensor.BF16}, {tensor.F32, param.Linear, tensor.F32},
	} {
		if got := BaseType(c.base, model.Spec{Kind: c.kind}); got != c.want {
			t.Errorf("%v of a base of %v is %v, want %v", c.kind, c.base, got, c.want)
		}
	}
}
