package ref

import (
	"math"
	"testing"
)

// TestRoPE rotates by a known angle, and back: the inverse is the transpose, so
// ⟨dout, R x⟩ = ⟨Rᵀ dout, x⟩, which makes it the backward.
func TestRoPE(t *testing.T) {
	angle := 0.7
	cos, sin := []float64{1, math.Cos(angle)}, []float64{0, math.Sin(angle)}
	x, dout := []float64{1, 2, 3, 4}, []float64{5, -6, 7, 8} // two heads of dimension 2
	y, dx := append([]float64{}, x...), append([]float64{}, dout...)
	RoPE(y, 2, []uint32{1}, cos, sin, 2, 2, false)
	c, s := math.Cos(angle), math.Sin(angle)
	for i, want := range []float64{c - 2*s, 2*c + s, 3*c - 4*s, 4*c + 3*s} {
		if math.Abs(y[i]-want) > 1e-15 {
			t.Errorf("y[%d] = %v, want %v", i, y[i], want)
		}
	}
	RoPE(dx, 2, []uint32{1}, cos, sin, 2, 2, true)
	if a, b := attentionDot(dout, y), attentionDot(dx, x); math.Abs(a-b) > 1e-13 {
		t.Errorf("<dout, R x> = %v, <R' dout, x> = %v", a, b)
	}
}
