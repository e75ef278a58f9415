package doctor

import (
	"fmt"

	"concord/gpu"
	"concord/internal/gguf"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// blockTypes are the element types of llama.cpp's files, and where a block has its
// float16 scales.
var blockTypes = []struct {
	d      tensor.DType
	file   gguf.Type
	halves []int
}{{tensor.Q4_0, gguf.Q4_0, []int{0}}, {tensor.Q4_1, gguf.Q4_1, []int{0, 2}}, {tensor.Q5_0, gguf.Q5_0, []int{0}},
	{tensor.Q5_1, gguf.Q5_1, []int{0, 2}},
	{tensor.Q8_0, gguf.Q8_0, []int{0}}, {tensor.Q4_K, gguf.Q4_K, []int{0, 2}}, {tensor.Q5_K, gguf.Q5_K, []int{0, 2}},
	{tensor.Q6_K, gguf.Q6_K, []int{208}}}

// blockTests decodes the blocks of files and multiplies by them: the device decodes as
// the host does, to the bit.
func blockTests() []Test {
	return []Test{{"convert", func(e *Probe) error {
		for _, b := range blockTypes {
			raw := make([]byte, 3*b.file.Bytes())
			for i := range raw {
				raw[i] = byte(i*i + 31*i) // many codes
			}
			for at := 0; at < len(raw); at += b.file.Bytes() {
				for _, h := range b.halves {
					raw[at+h], raw[at+h+1] = 0x55, 0x2e // 0.1
				}
			}
			x, out := e.NewTyped(gpu.RoleScratch, "doctor", b.d, 3, b.d.Block()), e.New(gpu.RoleScratch, "doctor", 3, b.d.Block())
			defer release(x, out)
			e.UploadBlocks(x, raw)
			e.Convert(out, x)
			host := gguf.Dequantize(raw, b.file)
			if err := same(e, fmt.Sprintf("%v to f32", b.d), out, host); err != nil {
				return err
			}
			if err := checkByBlocks(e, x, host); err != nil {
				return fmt.Errorf("product by %v: %w", b.d, err)
			}
		}
		return nil
	}}}
}

// checkByBlocks multiplies by b, which is host, as the forward pass does.
func checkByBlocks(e *Probe, b tensor.Tensor, host []float32) error {
	const m = 5
	ah, want := optest.Random(m*b.C, 1), make([]float32, m*b.R)
	a, out := e.New(gpu.RoleScratch, "doctor", m, b.C), e.New(gpu.RoleScratch, "doctor", m, b.R)
	defer release(a, out)
	e.Upload(a, ah)
	e.MatMul(out, a, b, tensor.NT, false)
	ref.MatMul(want, ah, host, m, b.R, b.C, false, true, false)
	got, err := e.Download(out)
	if err != nil {
		return err
	}
	return e.compare(got, want, matmulNMSE)
}
