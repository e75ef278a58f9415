package report

import (
	"fmt"
	"math"
	"strings"
)

// few is the number of documents below which a figure says little however narrow
// its interval looks.
const few = 20

// kindOf names the languages that are trained on, and the others.
func kindOf(seen bool) string { return map[bool]string{true: "seen", false: "unseen"}[seen] }

// bounds is an interval in brackets, "" where it is not known.
func bounds(e Estimate, format string, scale float64) string {
	lo, hi := float64(e.Low), float64(e.High)
	if math.IsNaN(lo) || math.IsNaN(hi) {
		return ""
	}
	return fmt.Sprintf(" ("+format+" … "+format+")", scale*lo, scale*hi)
}

// Table compares two evaluations language by language, under the given headings.
// Relate fills the intervals.
func Table(before, after Eval, first, second string) string {
	var b strings.Builder
	of := after.sampling()
	fmt.Fprintf(&b, " held-out bits per byte (lower is better; %schange's 95%% interval; n documents%s)\n", of.errorNote, of.countNote)
	fmt.Fprintf(&b, " %-8s %-7s %8s   %8s%*s %8s %-17s %*s\n", "language", "", first, second, of.error, "", "change", "", of.count-2, "n")
	for _, seen := range []bool{true, false} {
		rows := 0
		for _, r := range after.Rows {
			if r.Seen != seen {
				continue
			}
			rows++
			if !r.measured() {
				fmt.Fprintf(&b, " %-8s %-7s not measured: nothing is held out\n", r.Lang, kindOf(seen))
				continue
			}
			was := math.NaN()
			if o := before.find(r.Lang); o != nil {
				was = float64(o.BitsPerByte)
			}
			of.row(&b, line{r.Lang, kindOf(seen), was, float64(r.BitsPerByte), r.Interval, r.Change, r.share()})
		}
		if rows > 0 {
			m := after.meanOf(seen)
			was := before.Mean(seen)
			if m.Of > 0 && m.Change == nil {
				was = math.NaN() // of other languages
			}
			of.row(&b, line{"mean", kindOf(seen), was, after.Mean(seen), &m.Value, m.Change, m.share()})
		}
	}
	b.WriteString(after.remarks())
	return b.String()
}

// sampling are the widths of the last figures, and their notes in the heading: where only a
// sample was measured, its error and n of N stand in the table.
type sampling struct {
	error, count         int
	errorNote, countNote string
}

func (e Eval) sampling() sampling {
	for _, r := range e.Rows {
		if r.Sampled() {
			return sampling{8, 18, "± and ", " of those held out, a random sample"}
		}
	}
	return sampling{0, 8, "", ""}
}

// line is one line of Table.
type line struct {
	lang, kind    string
	before, after float64
	interval      *Estimate // of after
	change        *Estimate
	n             string
}

func (c sampling) row(b *strings.Builder, l line) {
	text, interval, n := "", "", l.n
	switch {
	case l.change != nil:
		text = fmt.Sprintf("%+.1f%%", 100*float64(l.change.Value))
		interval = strings.TrimSpace(bounds(*l.change, "%+.1f", 100))
	case l.before > 0 && !math.IsNaN(l.after):
		text = fmt.Sprintf("%+.1f%%", 100*(l.after/l.before-1))
	}
	if l.change != nil && interval != "" && float64(l.change.Low) < 0 && float64(l.change.High) > 0 {
		n += " ?"
	} else {
		n += "  "
	}
	half := ""
	if h := l.interval.Half(); c.error > 0 && !math.IsNaN(h) {
		half = fmt.Sprintf(" ± %.3f", h)
	}
	out := fmt.Sprintf(" %-8s %-7s %8.3f → %8.3f%-*s %8s %-17s %*s", l.lang, l.kind, l.before, l.after, c.error, half, text, interval,
		c.count, n)
	b.WriteString(strings.ReplaceAll(strings.TrimRight(out, " "), "NaN", "  –") + "\n")
}

// number is a count of documents, "" where it is not known.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return Count(int64(n))
}

// share is how many examples were measured, of how many where it is not all.
func (r EvalRow) share() string { return partOf(r.Examples, r.Heldout) }

// partOf is n, or "n of all" where it is a part.
func partOf(n, all int) string {
	if n > 0 && n < all {
		return number(n) + " of " + number(all)
	}
	return number(n)
}

// measured says that the row has a figure.
func (r EvalRow) measured() bool { return r.Examples > 0 || !math.IsNaN(float64(r.BitsPerByte)) }

// find is a language's row, nil where there is none with a figure.
func (e Eval) find(lang string) *EvalRow {
	for i := range e.Rows {
		if e.Rows[i].Lang == lang && e.Rows[i].measured() {
			return &e.Rows[i]
		}
	}
	return nil
}

// Summary is the means in a line, with their intervals where they are known; for a figure that
// was not measured it has nothing.
func (e Eval) Summary() string {
	var parts []string
	for _, seen := range []bool{true, false} {
		if v := e.Mean(seen); !math.IsNaN(v) {
			text := fmt.Sprintf("%s %.3f", kindOf(seen), v)
			m := e.meanOf(seen)
			if i := m.interval(); i != "" {
				text += " " + i
			}
			if m.Docs < m.Held {
				text += " of " + partOf(m.Docs, m.Held) + " documents"
			}
			parts = append(parts, text)
		}
	}
	if len(parts) == 0 {
		return "nothing is held out"
	}
	return "mean bits per byte, " + strings.Join(parts, ", ")
}

// meanOf is the record of a mean, a zero one where there is none.
func (e Eval) meanOf(seen bool) Mean {
	for _, m := range e.Means {
		if m.Seen == seen {
			return m
		}
	}
	return Mean{}
}

// share is how many documents are in the mean, or how many of the languages where
// some are not.
func (m Mean) share() string {
	if m.Langs == m.Of {
		return partOf(m.Docs, m.Held)
	}
	return fmt.Sprintf("%d of %d", m.Langs, m.Of)
}

// remarks says which figures of e carry little, and whether training made all of
// them worse.
func (e Eval) remarks() string {
	var b strings.Builder
	var little []string
	unclear, worse, trained := false, 0, 0
	for _, r := range e.Rows {
		if r.Examples > 0 && r.Examples < few {
			little = append(little, fmt.Sprintf("%s: %d", r.Lang, r.Examples))
		}
		if c := r.Change; c != nil {
			unclear = unclear || c.Low < 0 && c.High > 0
			if r.Seen {
				trained++
				if c.Value > 0 {
					worse++
				}
			}
		}
	}
	for _, m := range e.Means {
		unclear = unclear || m.Change != nil && m.Change.Low < 0 && m.Change.High > 0
	}
	if unclear {
		b.WriteString(" ?  may be chance: the interval holds 0\n")
	}
	if len(little) > 0 {
		fmt.Fprintf(&b, " !  few documents are held out (%s): their figures say little\n    fix: a larger holdout, or heldout = "+
			"\"FILE\", in [[data.source]]\n", strings.Join(little, ", "))
	}
	if trained > 0 && worse == trained {
		b.WriteString(" !  worse than the base in every trained language\n    fix: a lower optim.lr, fewer steps, or more data; " +
			"see whether an earlier evaluation was better\n")
	}
	return b.String()
}

// EvalTable prints one evaluation.
func EvalTable(e Eval) string {
	var b strings.Builder
	width := max(9, e.sampling().count-2)
	fmt.Fprintf(&b, " %-8s %-7s %9s %-19s %9s %9s %*s\n", "language", "", "bits/byte", "95% interval", "tokens", "bytes", width, "documents")
	for _, seen := range []bool{true, false} {
		n := 0
		for _, r := range e.Rows {
			if r.Seen != seen {
				continue
			}
			n++
			if !r.measured() {
				fmt.Fprintf(&b, " %-8s %-7s not measured: nothing is held out\n", r.Lang, kindOf(seen))
				continue
			}
			fmt.Fprintf(&b, " %-8s %-7s %9.3f %-19s %9s %9s %*s\n", r.Lang, kindOf(seen), float64(r.BitsPerByte), r.interval(),
				Count(int64(r.Tokens)), Count(int64(r.Bytes)), width, r.share())
		}
		if n > 0 {
			m := e.meanOf(seen)
			line := fmt.Sprintf(" %-8s %-7s %9.3f %-19s %9s %9s %*s", "mean", kindOf(seen), e.Mean(seen), m.interval(), "", "", width, m.share())
			b.WriteString(strings.ReplaceAll(strings.TrimRight(line, " "), "NaN", "  –") + "\n")
		}
	}
	b.WriteString(e.remarks())
	b.WriteString(AnswerTable(Eval{}, e, "before", "now"))
	return b.String()
}

func (m Mean) interval() string {
	if m.Of == 0 {
		return ""
	}
	return strings.TrimSpace(bounds(m.Value, "%.3f", 1))
}

func (r EvalRow) interval() string {
	if r.Interval == nil {
		return ""
	}
	return strings.TrimSpace(bounds(*r.Interval, "%.3f", 1))
}
