package live

import (
	"fmt"
	"strings"
	"testing"

	"concord/internal/report"
)

// Sixteen languages are all on a screen of 80 × 24 and of 60 × 20, each with its figures.
func TestSixteenLanguagesAreShown(t *testing.T) {
	s := sample(16, 30)
	e := report.Eval{Step: 30}
	for _, l := range s.Header.Languages {
		e.Rows = append(e.Rows, report.EvalRow{Lang: l, Seen: true, BitsPerByte: 2.5})
	}
	s.Add(e)
	for _, size := range [][2]int{{80, 24}, {60, 20}} {
		got := strings.Join(plain(Render(s, size[0], size[1])), "\n")
		for i := range 16 {
			if want := fmt.Sprintf("l%d %.2f (2.50)", i, s.latest[fmt.Sprint("l", i)]); !strings.Contains(got, want) {
				t.Errorf("%d × %d lacks %q:\n%s", size[0], size[1], want, got)
			}
		}
	}
}

// A text that is cut at an ellipsis of its own has one.
func TestCutAtAnEllipsis(t *testing.T) {
	for w, want := range map[int]string{6: "3.1…", 7: "3.1…", 11: "3.1 … 3.2"} {
		if got := strings.TrimRight(fit("3.1 … 3.2", w), " "); got != want || width(fit("3.1 … 3.2", w)) != w {
			t.Errorf("%d columns: %q, want %q", w, got, want)
		}
	}
}

// No message is cut while a line beside it is empty.
func TestMessagesUseEmptyLines(t *testing.T) {
	s := sample(16, 30)
	text := "nobody makes this run any more; to go on: concord resume " + strings.Repeat("folder/", 9) + " and here is its end"
	s.Add(report.Note{Kind: "note", Text: text})
	for _, size := range [][2]int{{80, 40}, {60, 24}} {
		got := strings.Join(plain(Render(s, size[0], size[1])), "\n")
		if !strings.Contains(strings.Join(strings.Fields(got), " "), "and here is its end") {
			t.Errorf("%d × %d cuts the message:\n%s", size[0], size[1], got)
		}
	}
	if got := plain(folded("aa bb cc dd", 7, 1)); len(got) != 2 || got[0] != " aa bb " || got[1] != " cc dd " {
		t.Errorf("%q", got)
	}
	if got := plain(folded("aa bb cc dd", 7, 0)); len(got) != 1 || got[0] != " aa bb…" {
		t.Errorf("%q", got)
	}
}

// At 80 × 24 the fixes of several warnings are read whole; where they do not fit, a line says
// where all are.
func TestWarningsAreReadable(t *testing.T) {
	for _, c := range []struct {
		languages, warnings, w, h int
		whole                     bool
	}{{3, 1, 80, 24, true}, {3, 3, 80, 24, true}, {3, 9, 80, 24, false}, {16, 3, 80, 24, false},
		{3, 3, 60, 20, true}, {3, 9, 60, 20, false}, {3, 3, 40, 10, false}, {3, 3, 120, 40, true}} {
		s := sample(c.languages, 3)
		h := s.Header
		h.Dir = "runs/mine"
		for i := range c.warnings {
			h.Warnings = append(h.Warnings, fmt.Sprintf("l%d: few documents are held out, and so its figures will say little of "+
				"what it has learnt in this run\nfix: a larger holdout = %d00 in [[data.source]]", i, i+1))
		}
		s.Add(h)
		s.Add(report.Eval{Step: 0})
		lines := plain(Render(s, c.w, c.h))
		got := strings.Join(strings.Fields(strings.Join(lines, "\n")), " ")
		if len(lines) != c.h {
			t.Errorf("%+v: %d lines", c, len(lines))
		}
		fixes := 0
		for i := range c.warnings {
			if strings.Contains(got, fmt.Sprintf("fix: a larger holdout = %d00 in [[data.source]]", i+1)) {
				fixes++
			}
		}
		pointer := strings.Contains(got, fmt.Sprintf("! %d warnings in full: concord", c.warnings))
		if whole := fixes == c.warnings; whole != c.whole || pointer == c.whole {
			t.Errorf("%+v: %d fixes, said where all are: %v:\n%s", c, fixes, pointer, strings.Join(lines, "\n"))
		}
	}
}
