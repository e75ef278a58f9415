// Package optest compares computed values with reference values in tests and
// in the doctor's self-test. Pure functions, no GPU.
package optest

import (
	"fmt"
	"math"
)

// GuardBits is the NaN pattern that tests put around outputs.
const GuardBits uint32 = 0x7fc0dead

// NMSE is the normalised mean square error Σ(got−want)² / Σwant², in float64.
// Where want is all zero it is Σgot². A NaN or Inf in got gives +Inf.
func NMSE(got, want []float32) float64 {
	var e, n float64
	for i := range want {
		g, w := float64(got[i]), float64(want[i])
		if math.IsNaN(g) || math.IsInf(g, 0) {
			return math.Inf(1)
		}
		e += (g - w) * (g - w)
		n += w * w
	}
	if n == 0 {
		return e
	}
	return e / n
}

// Compare returns an error naming the first bad index when the lengths differ,
// a value is not finite, or NMSE exceeds tol.
func Compare(got, want []float32, tol float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d values, want %d", len(got), len(want))
	}
	worst, at := -1.0, 0
	for i := range want {
		g := float64(got[i])
		if math.IsNaN(g) || math.IsInf(g, 0) {
			return fmt.Errorf("index %d is %v, want %v", i, got[i], want[i])
		}
		if d := math.Abs(g - float64(want[i])); d > worst {
			worst, at = d, i
		}
	}
	if n := NMSE(got, want); n > tol {
		return fmt.Errorf("NMSE %.3g > %.3g; worst at index %d: %v, want %v", n, tol, at, got[at], want[at])
	}
	return nil
}

// Bits reports the first index at which a and b differ in their bits, or -1.
func Bits(a, b []float32) int {
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return i
		}
	}
	return -1
}

// Random fills n values in [-1, 1) from a fixed linear congruential sequence
// keyed by seed, so that tests need no generator state.
func Random(n int, seed uint64) []float32 {
	out := make([]float32, n)
	s := seed*0x9e3779b97f4a7c15 + 0x1234567
	for i := range out {
		s = s*6364136223846793005 + 1442695040888963407
		out[i] = float32(int32(s>>32)) / (1 << 31)
	}
	return out
}
