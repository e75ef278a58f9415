package compare

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"concord/internal/report"
)

// none is printed for a number that there is not.
const none = "–"

// decimal writes v with so many digits, none where it is not a number.
func decimal(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return none
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// signed is decimal with a sign.
func signed(v float64, digits int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return none
	}
	return fmt.Sprintf("%+.*f", digits, v)
}

// String is "2.546 ± 0.004": mean and standard deviation over seeds.
func (s Spread) String() string {
	if math.IsNaN(float64(s.SD)) {
		return decimal(float64(s.Mean), 4)
	}
	return decimal(float64(s.Mean), 4) + " ± " + decimal(float64(s.SD), 4)
}

// String is "-0.0120 [-0.0200, -0.0040]".
func (d Difference) String() string {
	if d.N == 0 {
		return none
	}
	if math.IsNaN(float64(d.Lo)) {
		return signed(float64(d.Mean), 4)
	}
	return signed(float64(d.Mean), 4) + " [" + signed(float64(d.Lo), 4) + ", " + signed(float64(d.Hi), 4) + "]"
}

// span is the interval in words.
func span(d Difference) string {
	return signed(float64(d.Lo), 4) + " … " + signed(float64(d.Hi), 4)
}

func percent(v report.Float) string {
	if math.IsNaN(float64(v)) {
		return none
	}
	return fmt.Sprintf("%.0f %%", 100*float64(v))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
