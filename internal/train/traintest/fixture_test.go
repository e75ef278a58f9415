package traintest

import (
	"math"
	"testing"
)

// A value that is not finite, in either, is no small difference.
func TestNMSE(t *testing.T) {
	nan := float32(math.NaN())
	for _, c := range []struct {
		a, b []float32
		want float64
	}{
		{[]float32{1, 2}, []float32{1, 1}, 0.5}, {[]float32{2}, []float32{0}, 4}, {[]float32{1}, []float32{1, 2}, math.Inf(1)},
		{[]float32{nan}, []float32{1}, math.Inf(1)}, {[]float32{1}, []float32{nan}, math.Inf(1)}, {[]float32{nan}, []float32{nan}, math.Inf(1)},
	} {
		if got := NMSE(c.a, c.b); got != c.want {
			t.Errorf("%v %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
