package stats

import (
	"fmt"
	"math"
)

// None is printed for a number that there is not.
const None = "–"

// Decimal writes v with so many digits, None where it is not a number.
func Decimal(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return None
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// Signed is Decimal with a sign.
func Signed(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return None
	}
	return fmt.Sprintf("%+.*f", digits, v)
}

// String is "2.546 ± 0.004": mean and standard deviation over seeds.
func (s Spread) String() string {
	if math.IsNaN(float64(s.SD)) {
		return Decimal(float64(s.Mean), 4)
	}
	return Decimal(float64(s.Mean), 4) + " ± " + Decimal(float64(s.SD), 4)
}

// String is "-0.0120 [-0.0200, -0.0040]".
func (d Difference) String() string {
	if d.N == 0 {
		return None
	}
	if math.IsNaN(float64(d.Lo)) {
		return Signed(float64(d.Mean), 4)
	}
	return Signed(float64(d.Mean), 4) + " [" + d.Span(", ") + "]"
}

// Span is the interval's ends with text between them.
func (d Difference) Span(between string) string {
	return Signed(float64(d.Lo), 4) + between + Signed(float64(d.Hi), 4)
}

// Better reports whether the interval is below zero, and the mean by an amount
// that counts.
func (d Difference) Better() bool { return d.Hi < 0 && d.Mean <= -Smallest }

// Worse is Better's opposite.
func (d Difference) Worse() bool { return d.Lo > 0 && d.Mean >= Smallest }

// Equivalent reports whether the interval lies within the margin on both sides.
func (d Difference) Equivalent(margin float64) bool {
	return float64(d.Lo) > -margin && float64(d.Hi) < margin
}
