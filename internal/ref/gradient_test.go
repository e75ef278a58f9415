package ref

import (
	"math"
	"testing"
)

// wave is n deterministic float64 values in [-1, 1] without a pattern in common
// with any matrix shape.
func wave(n int, phase float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Sin(phase + 1.7*float64(i) + 0.3*float64(i*i%13))
	}
	return out
}

// checkGradient compares grad with the central differences of loss by x.
func checkGradient(t *testing.T, what string, x, grad []float64, loss func() float64) {
	t.Helper()
	const h = 1e-5
	for i := range x {
		old := x[i]
		x[i] = old + h
		up := loss()
		x[i] = old - h
		down := loss()
		x[i] = old
		if want := (up - down) / (2 * h); math.Abs(grad[i]-want) > 1e-8*(1+math.Abs(want)) {
			t.Fatalf("%s: gradient %d is %v, central difference %v", what, i, grad[i], want)
		}
	}
}

// weighted is Σ a·b: a scalar objective whose gradient by a is b.
func weighted(a, b []float64) float64 { return dot(a, b) }

func TestSwiGLUBackwardIsTheDerivative(t *testing.T) {
	const n = 11
	gate, up, dout := wave(n, 1), wave(n, 2), wave(n, 3)
	gate[0], gate[1] = 0, -30
	out, dgate, dup := make([]float64, n), make([]float64, n), make([]float64, n)
	SwiGLUBackward(dgate, dup, dout, gate, up)
	loss := func() float64 { SwiGLU(out, gate, up); return weighted(out, dout) }
	checkGradient(t, "gate", gate, dgate, loss)
	checkGradient(t, "up", up, dup, loss)
}

func TestRMSNormBackwardIsTheDerivative(t *testing.T) {
	const n, c, eps = 5, 6, 1e-3
	starts := []int{0, 2, 2, n} // an objective without tokens
	x, weight, dout := wave(n*c, 1), wave(c, 2), wave(n*c, 3)
	out, rstd := make([]float64, n*c), make([]float64, n)
	loss := func() float64 { RMSNorm(out, rstd, x, weight, eps); return weighted(out, dout) }
	loss()
	dx := wave(n*c, 4)
	before := append([]float64(nil), dx...)
	RMSNormBackward(dx, dout, x, weight, rstd, true)
	for i := range dx {
		dx[i] -= before[i]
	}
	checkGradient(t, "x", x, dx, loss)
	loss() // rstd of the unperturbed x again
	rows := make([]float64, 3*c)
	RMSNormBackwardWeight(rows, dout, x, rstd, starts, false)
	for m := range 3 {
		checkGradient(t, "weight", weight, rows[m*c:(m+1)*c], func() float64 {
			RMSNorm(out, rstd, x, weight, eps)
			return weighted(out[starts[m]*c:starts[m+1]*c], dout[starts[m]*c:starts[m+1]*c])
		})
	}
}

func TestEmbeddingBackwardIsTheDerivative(t *testing.T) {
	const v, c = 4, 3
	ids := []uint32{2, 0, 2, 3, 2}
	starts := []int{0, 2, 5}
	table, dout, out := wave(v*c, 1), wave(len(ids)*c, 2), make([]float64, len(ids)*c)
	rows := wave(2*v*c, 3)
	EmbeddingBackward(rows, dout, ids, starts, v, c, false)
	for m := range 2 {
		checkGradient(t, "table", table, rows[m*v*c:(m+1)*v*c], func() float64 {
			Embedding(out, table, ids, c)
			return weighted(out[starts[m]*c:starts[m+1]*c], dout[starts[m]*c:starts[m+1]*c])
		})
	}
}

func TestLinearCrossEntropyGradientIsTheDerivative(t *testing.T) {
	const n, v, c = 5, 7, 3
	labels := []uint32{3, 0, Ignored, 6, 3}
	starts := []int{0, 1, 5}
	x, weight, scale := wave(n*c, 1), wave(v*c, 2), wave(n, 3)
	loss, dx, rows := make([]float64, n), make([]float64, n*c), make([]float64, 2*v*c)
	forward := func() float64 {
		LinearCrossEntropy(x, weight, labels, scale, loss, nil, nil, starts, c, false)
		return weighted(loss, scale)
	}
	LinearCrossEntropy(x, weight, labels, scale, loss, dx, rows, starts, c, false)
	if loss[2] != 0 {
		t.Errorf("ignored token has loss %v", loss[2])
	}
	checkGradient(t, "x", x, dx, forward)
	for m := range 2 {
		checkGradient(t, "weight", weight, rows[m*v*c:(m+1)*v*c], func() float64 {
			forward()
			return weighted(loss[starts[m]:starts[m+1]], scale[starts[m]:starts[m+1]])
		})
	}
}

func TestCrossEntropyOfBrokenRowsIsNaN(t *testing.T) {
	inf := math.Inf(1)
	logits := []float64{1, math.NaN(), 0, inf, 1, 1, 1, 2, 3}
	loss := make([]float64, 3)
	CrossEntropy(logits, loss, []uint32{0, 1, 3}, nil, 0, 3, 0, false)
	for r, l := range loss {
		if !math.IsNaN(l) {
			t.Errorf("row %d has loss %v, want NaN", r, l)
		}
	}
}
