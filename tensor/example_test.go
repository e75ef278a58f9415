package tensor_test

import (
	"fmt"

	"concord/gpu"
	"concord/tensor"
)

// engine opens the best adapter; nil, after saying why, where there is none.
func engine() *tensor.Engine {
	dev, err := gpu.Open(gpu.Options{})
	if err != nil {
		fmt.Println(err)
		return nil
	}
	return tensor.NewEngine(dev, tensor.Options{NoAutotune: true})
}

// matrix uploads values, r rows of them, as type d.
func matrix(e *tensor.Engine, d tensor.DType, r int, values ...float32) tensor.Tensor {
	t := e.NewTyped(gpu.RoleScratch, "example", d, r, len(values)/r)
	e.Upload(t, values)
	return t
}

// A linear layer y = x·Wᵀ by weights in float32, and by the same in bfloat16, which
// are decoded as they are loaded.
func ExampleEngine_MatMul() {
	e := engine()
	if e == nil {
		return
	}
	defer e.Dev.Close()
	x := matrix(e, tensor.F32, 2, 1, 2, 3, 4, 5, 6) // (2, 3)
	y := e.New(gpu.RoleScratch, "y", 2, 2)
	for _, d := range []tensor.DType{tensor.F32, tensor.BF16} {
		w := matrix(e, d, 2, 1, 0, -1, 0.5, 0.25, 0.125) // (out 2, in 3)
		e.MatMul(y, x, w, tensor.NT, false)
		got, err := e.Download(y)
		fmt.Println(d, w.Bytes(), "bytes:", got, err)
	}
	// Output:
	// f32 32 bytes: [-2 1.375 -2 4] <nil>
	// bf16 16 bytes: [-2 1.375 -2 4] <nil>
}

// The gradient of one weight, apart for two languages, from one pass over the tokens:
// the first two rows of dy and x are of language 0, the third is of language 1. Their
// Gram shows a conflict: the inner product of the two is negative.
func ExampleEngine_MatMulSegmented() {
	e := engine()
	if e == nil {
		return
	}
	defer e.Dev.Close()
	dy := matrix(e, tensor.F32, 3, 1, 0, 0, 1, -1, -1) // (3 tokens, out 2)
	x := matrix(e, tensor.F32, 3, 1, 2, 3, 4, 5, 6)    // (3 tokens, in 2)
	rows := tensor.TaskGrads{Buf: e.Dev.NewBuffer(gpu.RoleRows, "rows", tensor.F32.Bytes(2*64)), M: 2, Stride: 64, R: 2, C: 2, LD: 4}
	e.MatMulSegmented(rows, dy, x, e.NewSegments(gpu.RoleData, []int{0, 2, 3}), false)
	for m := range rows.M {
		got, err := e.Download(rows.Objective(m))
		fmt.Println("language", m, got, err)
	}
	gram, err := e.Gram(rows, e.NewGramScratch(2, rows.R*rows.LD)).Wait()
	fmt.Println("gram", gram, err)
	// Output:
	// language 0 [1 2 3 4] <nil>
	// language 1 [-5 -6 -5 -6] <nil>
	// gram [30 -56 -56 122] <nil>
}
