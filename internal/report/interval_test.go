package report

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func near(a Float, b float64) bool { return math.Abs(float64(a)-b) < 1e-3 }

// The interval of documents of equal length is Student's of their mean.
func TestInterval(t *testing.T) {
	e := measured(1, map[string][]float64{"sw": {1, 2, 3}, "yo": {5}})
	e.Relate(nil)
	if x := e.Rows[0].Interval; x == nil || x.Value != 2 || !near(x.High, 2+4.30265/math.Sqrt(3)) || x.Low != 0 {
		t.Errorf("three documents: %+v", x)
	}
	if x := e.Rows[1].Interval; x == nil || !math.IsNaN(float64(x.Low)) || !math.IsNaN(float64(x.High)) {
		t.Errorf("one document says nothing of others: %+v", x)
	}
	if e.Rows[0].Change != nil || e.Means[0].Change != nil {
		t.Error("a change from nothing")
	}
	text := EvalTable(e)
	for _, want := range []string{"2.000 (0.000 … 4.484)", "few documents are held out (sw: 3, yo: 1)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
}

// The change's interval is paired: where all documents change alike it is narrow
// however different they are. One language's and the mean's.
func TestChangeIsPaired(t *testing.T) {
	before := measured(0, map[string][]float64{"sw": {1, 2, 9}, "yo": {4, 2, 2, 8}, "de": {1, 2}})
	after := measured(9, map[string][]float64{"sw": {0.5, 1, 4.5}, "yo": {2, 1, 1, 4}, "de": {1, 3}})
	after.Relate(&before)
	for _, c := range []*Estimate{after.find("sw").Change, after.find("yo").Change, after.meanOf(true).Change} {
		if c == nil || !near(c.Value, -0.5) || !near(c.Low, -0.5) || !near(c.High, -0.5) {
			t.Errorf("halved: %+v", c)
		}
	}
	if c := after.find("de").Change; !near(c.Value, 1.0/3) || !(c.Low < 0 && c.High > 0) {
		t.Errorf("two documents, one of them worse: %+v", c)
	}
	other := measured(0, map[string][]float64{"sw": {1, 2}, "yo": {4, 2, 2, 8}})
	after.Relate(&other)
	if c := after.find("sw").Change; c == nil || !math.IsNaN(float64(c.Low)) {
		t.Errorf("measured on other documents: %+v", c)
	}
	if after.find("de").Change != nil || after.meanOf(false).Change != nil {
		t.Error("a change from what was not measured")
	}
}

// A language without held-out documents stays in sight and out of the mean.
func TestNothingHeldOut(t *testing.T) {
	e := measured(3, map[string][]float64{"sw": {2, 2}, "yo": nil})
	e.Relate(nil)
	if m := e.Mean(true); m != 2 {
		t.Errorf("the mean is %v", m)
	}
	if m := e.meanOf(true); m.Langs != 1 || m.Of != 2 {
		t.Errorf("%+v", m)
	}
	for name, text := range map[string]string{"one evaluation": EvalTable(e), "two": Table(e, e, "before", "after")} {
		if !strings.Contains(text, "yo       seen    not measured: nothing is held out") || !strings.Contains(text, "1 of 2") ||
			strings.Contains(text, "NaN") {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

func TestWorseThanTheBase(t *testing.T) {
	before := measured(0, map[string][]float64{"sw": {1, 2}, "yo": {4, 2}, "de": {1, 2}})
	for factor, worse := range map[float64]bool{1.1: true, 0.9: false} {
		after := measured(9, map[string][]float64{"sw": {1.1, 2.2}, "yo": {4 * factor, 2 * factor}, "de": {0.5, 1}})
		after.Relate(&before)
		if text := Table(before, after, "before", "after"); strings.Contains(text, "worse than the base in every trained language") != worse {
			t.Errorf("yo × %v:\n%s", factor, text)
		}
	}
}

// The intervals hold the truth about as often as they say, for documents of unequal
// lengths and skewed losses.
func TestCoverage(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	held, runs := 0, 600
	for range runs {
		var e Eval
		row := EvalRow{Lang: "sw", Seen: true, Examples: 40}
		for range row.Examples {
			n := 20 + r.IntN(200)
			row.Docs = append(row.Docs, Doc{NLL: math.Ln2 * float64(n) * 2 * math.Exp(0.4*r.NormFloat64()-0.08), Bytes: n})
		}
		e.Rows = []EvalRow{row}
		e.Relate(nil)
		if x := e.Rows[0].Interval; x.Low < 2 && x.High > 2 {
			held++
		}
	}
	if share := float64(held) / float64(runs); share < 0.92 || share > 0.975 {
		t.Errorf("%.1f%% of the intervals hold the truth", 100*share)
	}
}
