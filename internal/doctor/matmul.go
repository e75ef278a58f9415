package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// matmulNMSE allows for f32 sums of a few hundred terms.
const matmulNMSE = 1e-10

// matmulKernel is the WGSL file behind a variant of Engine.Variants: of NN and NT,
// and of the transposed products; "" for a variant that this package does not know.
func matmulKernel(variant string) (plain, transposed string) {
	switch {
	case variant == "direct-16x4":
		return "matmul_direct", "matmul_direct_tn"
	case strings.HasPrefix(variant, "direct-"):
		return "matmul_small", "matmul_small"
	case variant == "tiled-64":
		return "matmul_tiled64", "matmul_tiled64"
	case variant == "tiled-32":
		return "matmul_tiled32", "matmul_tiled32"
	}
	return "", ""
}

// matmulTests run every matrix-product kernel, in each of its variants, not only that
// which the autotune would choose on this device.
func matmulTests() []Test {
	var tests []Test
	for _, kernel := range []string{"matmul_direct", "matmul_direct_tn", "matmul_small", "matmul_tiled64", "matmul_tiled32"} {
		tests = append(tests, Test{Kernel: kernel, Run: func(e *Probe) error {
			var errs []error
			for _, variant := range e.Variants() {
				var ops []tensor.Trans
				plain, transposed := matmulKernel(variant)
				if plain == kernel {
					ops = append(ops, tensor.NN, tensor.NT)
				}
				if transposed == kernel {
					ops = append(ops, tensor.TN)
				}
				errs = append(errs, checkVariant(e, variant, ops))
			}
			return errors.Join(errs...)
		}})
	}
	return append(tests, Test{Kernel: "splitk_reduce", Run: func(e *Probe) error {
		return checkVariant(e, "direct-4x1-k2", []tensor.Trans{tensor.NN, tensor.NT, tensor.TN})
	}})
}

// sameText are variants whose loads are those of direct-8x2.
var sameText = []string{"direct-8x1", "direct-4x2", "direct-4x1", "direct-1x1", "direct-4x1-k2"}

// checkVariant runs ops, and with TN the product per objective too.
func checkVariant(e *Probe, variant string, ops []tensor.Trans) error {
	forced := e.variant(variant)
	for _, op := range ops {
		for _, s := range [][3]int{{1, 1, 1}, {33, 70, 17}, {67, 29, 131}} {
			if err := checkMatMul(forced, op, tensor.F32, s[0], s[1], s[2]); err != nil {
				return fmt.Errorf("%s %v %dx%dx%d: %w", variant, op, s[0], s[1], s[2], err)
			}
		}
		if op == tensor.TN || slices.Contains(sameText, variant) {
			continue // weights are not multiplied so; or the same text as another variant
		}
		for _, d := range tensor.DTypes()[1:] {
			if err := checkMatMul(forced, op, d, 33, 70, 67); err != nil {
				return fmt.Errorf("%s %v by %v weights: %w", variant, op, d, err)
			}
		}
	}
	if slices.Contains(ops, tensor.TN) {
		if err := checkSegmented(forced, 35, 22, []int{0, 9, 9, 40}); err != nil {
			return fmt.Errorf("%s segmented: %w", variant, err)
		}
	}
	return nil
}

// checkMatMul overwrites, then accumulates. b is of type d.
func checkMatMul(e *Probe, op tensor.Trans, d tensor.DType, m, n, k int) error {
	ar, ac, br, bc := m, k, k, n
	switch op {
	case tensor.NT:
		br, bc = n, k
	case tensor.TN:
		ar, ac = k, m
	}
	ah, bh := optest.Random(ar*ac, 1), optest.Random(br*bc, 2)
	a, b := e.New(gpu.RoleScratch, "doctor", ar, ac), e.NewTyped(gpu.RoleScratch, "doctor", d, br, bc)
	out := e.New(gpu.RoleScratch, "doctor", m, n)
	defer release(a, b, out)
	e.Upload(a, ah)
	e.Upload(b, bh)
	bh, err := e.Download(b) // as the type stores it
	if err != nil {
		return err
	}
	want := make([]float32, m*n)
	for _, accumulate := range []bool{false, true} {
		e.MatMul(out, a, b, op, accumulate)
		ref.MatMul(want, ah, bh, m, n, k, op == tensor.TN, op == tensor.NT, accumulate)
	}
	got, err := e.Download(out)
	if err != nil {
		return err
	}
	return e.compare(got, want, matmulNMSE)
}

func checkSegmented(e *Probe, r, c int, starts []int) error {
	n, m := starts[len(starts)-1], len(starts)-1
	ah, bh := optest.Random(n*r, 1), optest.Random(n*c, 2)
	a, b := e.New(gpu.RoleScratch, "doctor", n, r), e.New(gpu.RoleScratch, "doctor", n, c)
	ld := (c + 3) &^ 3
	stride := (r*ld + 63) &^ 63
	buf := e.New(gpu.RoleScratch, "doctor", m, stride)
	seg := e.NewSegments(gpu.RoleScratch, starts)
	defer release(a, b, buf, seg.Dev)
	e.Upload(a, ah)
	e.Upload(b, bh)
	out := tensor.TaskGrads{Buf: buf.Buf, M: m, Stride: stride, R: r, C: c, LD: ld}
	e.MatMulSegmented(out, a, b, seg, false)
	var got []float32
	for i := range m {
		v, err := e.Download(out.Objective(i))
		if err != nil {
			return err
		}
		got = append(got, v...)
	}
	want := make([]float32, m*r*c)
	ref.MatMulSegmented(want, ah, bh, r, c, starts, false)
	return e.compare(got, want, matmulNMSE)
}
