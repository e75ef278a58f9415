package protocol

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Sums keep the bits of tiny gradients and take large ones, which are clipped later,
// as on one machine; the order of arrival changes nothing.
func TestSumHasNoRange(t *testing.T) {
	for _, scale := range []float32{1e-30, 1e-12, 1, 1e6, 1e30} {
		a, b, c := []float32{1.25 * scale, 3 * scale}, []float32{0.5 * scale, -3 * scale}, []float32{0.0625 * scale, scale}
		all := []Addend{{1, a, 1}, {2, b, 1}, {3, c, 1}}
		want := []float32{float32(float64(a[0]) + float64(b[0]) + float64(c[0])), scale}
		for range 6 {
			rand.Shuffle(3, func(i, j int) { all[i], all[j] = all[j], all[i] })
			if got := Sum(slices.Clone(all), 10, 10); !slices.Equal(got, want) {
				t.Errorf("scale %g: %v, not %v", scale, got, want)
			}
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if Summable([]float32{0, float32(v)}) == nil {
			t.Errorf("%v can be summed", v)
		}
	}
}
