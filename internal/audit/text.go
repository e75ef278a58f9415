package audit

import (
	"fmt"
	"strings"

	"concord/internal/stats"
)

// Text is the report for a terminal.
func (r *Report) Text() string {
	var b strings.Builder
	for _, v := range r.Verdict {
		fmt.Fprintf(&b, " %s\n", v)
	}
	table(&b, "\n By language, bits per byte (mean over seeds; effect with its interval, above 0: hurt)", r.interferenceTable())
	if len(r.Remedies) > 0 {
		table(&b, "\n Remedies, against the plain mixture (below 0: better)", r.remedyTable())
	}
	if len(r.Forgetting) > 0 {
		table(&b, "\n Languages that are only measured (above 0: forgotten)", r.forgettingTable())
	}
	return b.String()
}

func (r *Report) interferenceTable() [][]string {
	out := [][]string{{"language", "before", "alone", "mixture", "mixture − alone", "after twice the steps", "verdict", "detectable"}}
	for _, f := range r.Interference {
		out = append(out, []string{f.Lang, stats.Decimal(float64(f.Base), 3), f.Alone.String(), f.Mixture.String(), f.Effect.String(),
			f.Longer.String(), string(f.Verdict), stats.Decimal(float64(f.Effect.Detectable), 4)})
	}
	return out
}

func (r *Report) remedyTable() [][]string {
	out := [][]string{{"remedy", "languages in question", "other trained", "unseen", "step's time", "steps", "seeds", "verdict"}}
	for _, h := range r.Remedies {
		verdict := map[Verdict]string{Helped: "better", Hurt: "worse", Even: "no difference"}[h.Verdict]
		if verdict == "" {
			verdict = string(h.Verdict)
		}
		if h.Error != "" {
			verdict, _, _ = strings.Cut("failed: "+h.Error, "\n")
		}
		out = append(out, []string{h.Name, h.Gain.String(), h.Others.String(), h.Unseen.String(), stats.Decimal(h.Cost, 2) + "×",
			stats.Decimal(h.Run, 2) + "×", fmt.Sprint(h.Gain.N), verdict})
	}
	return out
}

func (r *Report) forgettingTable() [][]string {
	out := [][]string{{"language", "before", "after the mixture", "change"}}
	for _, f := range r.Forgetting {
		out = append(out, []string{f.Lang, stats.Decimal(float64(f.Base), 3), f.After.String(), f.Change.String()})
	}
	return out
}

// table writes rows in columns.
func table(b *strings.Builder, title string, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	fmt.Fprintln(b, title)
	for _, row := range rows {
		line := " "
		for i, c := range row {
			line += c + strings.Repeat(" ", width[i]-len([]rune(c))+2)
		}
		fmt.Fprintln(b, strings.TrimRight(line, " "))
	}
}
