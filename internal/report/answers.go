package report

import (
	"fmt"
	"math"
	"strings"
)

// answered is a line on the answers of an evaluation, "" without any.
func (e Eval) answered() string {
	exact, chrf, n, langs := 0.0, 0.0, 0, 0.0
	for _, r := range e.Rows {
		if r.Exact != nil && r.ChrF != nil {
			exact, chrf, n, langs = exact+float64(r.Exact.Value), chrf+float64(r.ChrF.Value), n+r.Answers, langs+1
		}
	}
	var parts []string
	if langs > 0 {
		parts = append(parts, fmt.Sprintf("exact match %.1f%%, chrF2 %.1f (means of %.0f languages, %d answers)", 100*exact/langs,
			chrf/langs, langs, n))
	}
	if len(e.Answers) > 0 {
		a := e.Answers[e.Step%len(e.Answers)] // another one each time
		parts = append(parts, fmt.Sprintf("%s: %q → %q", a.Lang, short(a.Prompt), short(a.Answer)))
	}
	return strings.Join(parts, "; ")
}

// short is the beginning of a text, for one line.
func short(text string) string { return truncate(strings.Join(strings.Fields(text), " "), 40) }

// AnswerTable compares the scores of two evaluations' answers; "" where the second has
// none. Both may be of the same evaluation.
func AnswerTable(before, after Eval, first, second string) string {
	var b strings.Builder
	for _, r := range after.Rows {
		if r.Exact == nil || r.ChrF == nil {
			continue
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "\n answers to held-out prompts (higher is better; 95%% intervals; n answers)\n")
			fmt.Fprintf(&b, " %-8s %-6s %28s %27s %5s\n", "language", "", "exact match, % "+first+" → "+second, "chrF2 "+first+" → "+second, "n")
		}
		was := [2]string{"–", "–"}
		if o := before.find(r.Lang); o != nil && o.Exact != nil && o.ChrF != nil {
			was = [2]string{fmt.Sprintf("%.1f", 100*float64(o.Exact.Value)), fmt.Sprintf("%.1f", float64(o.ChrF.Value))}
		}
		fmt.Fprintf(&b, " %-8s %-6s %28s %27s %5d\n", r.Lang, kindOf(r.Seen), was[0]+" → "+scored(*r.Exact, 100),
			was[1]+" → "+scored(*r.ChrF, 1), r.Answers)
	}
	return b.String()
}

// scored is a score with its interval.
func scored(e Estimate, scale float64) string {
	text := fmt.Sprintf("%.1f", scale*float64(e.Value))
	if math.IsNaN(float64(e.Low)) {
		return text
	}
	return text + bounds(e, "%.1f", scale)
}
