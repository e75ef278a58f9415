package compare

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"concord/internal/report"
	"concord/internal/stats"
)

// The statistics, by their short names.
type (
	Spread     = stats.Spread
	Difference = stats.Difference
)

// none is printed for a number that there is not.
const none = stats.None

func decimal(v float64, digits int) string { return stats.Decimal(v, digits) }

func signed(v float64, digits int) string { return stats.Signed(v, digits) }

// span is the interval in words.
func span(d Difference) string {
	return d.Span(" … ")
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
