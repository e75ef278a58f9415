package report

import (
	"math"
	"strings"
	"testing"
)

// Where a sample was measured every table and line has the error and n of N; where all were,
// none of that is there.
func TestSampledFigures(t *testing.T) {
	before := measured(0, map[string][]float64{"sw": {2, 3, 2, 3}, "yo": {4, 5}})
	after := measured(9, map[string][]float64{"sw": {1, 2, 1, 2}, "yo": {3, 5}})
	after.Relate(&before)
	whole := Table(before, after, "before", "after") + EvalTable(after) + after.Summary()
	for _, never := range []string{"±", " of "} {
		if strings.Contains(whole, never) {
			t.Errorf("%q though all is measured:\n%s", never, whole)
		}
	}
	for i := range after.Rows {
		after.Rows[i].Heldout = after.Rows[i].Examples
	}
	sw := after.find("sw")
	sw.Heldout = 1234
	after.Relate(&before)
	if m := after.meanOf(true); m.Docs != 6 || m.Held != 1236 {
		t.Errorf("the mean is of %d of %d documents", m.Docs, m.Held)
	}
	half := 3.18245 * math.Sqrt(1.0/3/4) // Student's t of 3 degrees of freedom, σ² = 1/3
	if !near(Float(sw.Interval.Half()), half) || !sw.Sampled() || after.find("yo").Sampled() {
		t.Errorf("± %v", sw.Interval.Half())
	}
	for name, c := range map[string]struct{ text, want string }{
		"table":   {Table(before, after, "before", "after"), "1.500 ± 0.919"},
		"n of N":  {Table(before, after, "before", "after"), "4 of 1,234"},
		"heading": {Table(before, after, "before", "after"), "a random sample"},
		"eval":    {EvalTable(after), "4 of 1,234"},
		"mean":    {EvalTable(after), "6 of 1,236"},
		"line":    {after.Summary(), "of 6 of 1,236 documents"},
	} {
		if !strings.Contains(c.text, c.want) {
			t.Errorf("%s lacks %q:\n%s", name, c.want, c.text)
		}
	}
	widths := map[int]bool{}
	for _, l := range strings.Split(Table(before, after, "before", "after"), "\n") {
		if i := strings.Index(l, "→"); i >= 0 {
			widths[i] = true
		}
	}
	if len(widths) != 1 {
		t.Errorf("columns do not stand below each other:\n%s", Table(before, after, "before", "after"))
	}
}
