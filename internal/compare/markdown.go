package compare

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"concord/internal/report"
)

// markdown is the report to be read and pasted.
func (r *Report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n", r.title())
	for _, v := range r.Verdict {
		fmt.Fprintf(&b, "- %s\n", v)
	}
	fmt.Fprintf(&b, "\n    %s\n\n", r.Command)
	for _, line := range r.about() {
		fmt.Fprintf(&b, "- %s: %s\n", line[0], line[1])
	}
	b.WriteString("\n## By method\n\n" + explain + "\n\n")
	table(&b, r.familyTable())
	b.WriteString("\n## Cost\n\n" + costs + "\n\n")
	table(&b, r.costTable())
	b.WriteString("\n## By language\n\nBits per byte on the test half: mean over seeds, and in brackets the difference from mean.\n\n")
	table(&b, r.languageTable())
	b.WriteString("\n## What was tried\n\nWhat is bold was chosen by the validation half; the rest of the figures are the test half's.\n\n")
	table(&b, r.triedTable())
	if len(r.Failures) > 0 {
		b.WriteString("\n## Failures\n\n")
		for _, f := range r.Failures {
			fmt.Fprintf(&b, "- `%s`, after step %d: %s\n", f.Slug, f.Steps, strings.ReplaceAll(f.Error, "\n", " "))
		}
	}
	return b.String()
}

// explain is what the reader of the table needs to know.
const explain = "Bits per byte on the test half of the held-out examples (lower is better), mean ± standard deviation over seeds. Where a row was tuned, the other half chose. " +
	"Differences are paired by seed, with 95 % t intervals."

func (r *Report) title() string {
	return fmt.Sprintf("%s: %s compared", r.Name, count(len(r.Tried), "configuration"))
}

// about are the facts of the comparison.
func (r *Report) about() [][2]string {
	device := r.Machine.Device + ", " + r.Machine.Backend
	if r.Machine.Software {
		device += " (software, on the CPU)"
	}
	jobs := ""
	if r.Jobs > 1 {
		jobs = fmt.Sprintf("; %d runs at one time, so times say little", r.Jobs)
	}
	reference := r.Reference
	if reference == "" {
		reference = "none was tuned"
	}
	batch := fmt.Sprintf("%s × %s rows of %s tokens a step, %s steps", r.setting("batch.accumulate"), r.setting("batch.rows"), r.setting("batch.seq_len"), r.steps())
	seeds := fmt.Sprintf("%d … %d", r.Grid.FirstSeed, r.Grid.FirstSeed+uint64(r.Grid.Seeds)-1)
	if n := r.Grid.TuneSeeds; n > 0 && n < r.Grid.Seeds {
		seeds += fmt.Sprintf("; choices were made on the first %s, and what was chosen ran under the others", map[bool]string{true: "one", false: fmt.Sprint(n)}[n == 1])
	}
	out := [][2]string{
		{"model", r.Model},
		{"batch", batch},
		{"device", fmt.Sprintf("%s; %s/%s, %d CPUs%s", device, r.Version.OS, r.Version.Arch, r.CPUs, jobs)},
		{"program", "concord " + r.Version.Version + ", " + r.Version.Go},
		{"runs", fmt.Sprintf("%d finished, %d failed, of %d; %s tokens each", r.Finished, len(r.Failures), r.Planned, report.Count(r.Tokens))},
		{"seeds", seeds},
		{"trained languages", strings.Join(r.Languages, " ")},
		{"reference", reference},
	}
	if w := r.chosenWeights(); w != "" {
		out = append(out, [2]string{"chosen static weights", w})
	}
	return out
}

// chosenWeights are the static weights that were chosen, scaled to a mean of
// one; "" where uniform ones were, or none were tried.
func (r *Report) chosenWeights() string {
	f := r.family(familyStatic)
	if f == nil {
		return ""
	}
	for _, run := range r.Runs {
		if run.Config != f.Chosen || len(run.Applied) == 0 {
			continue
		}
		sum, parts := 0.0, []string{}
		for _, l := range r.Languages {
			sum += run.Applied[l]
		}
		for _, l := range r.Languages {
			parts = append(parts, fmt.Sprintf("%s %.2f", l, run.Applied[l]/sum*float64(len(r.Languages))))
		}
		return strings.Join(parts, ", ")
	}
	return ""
}

// familyTable is a row per family, the header first.
func (r *Report) familyTable() [][]string {
	head := []string{"", "chosen", "seen", "unseen", "worst seen", "Δ seen vs mean"}
	if r.Reference != "" {
		head = append(head, "Δ seen vs "+r.Reference, "Δ unseen vs "+r.Reference)
	}
	out := [][]string{head}
	for _, f := range r.Families {
		row := []string{f.Name, r.chosen(f), f.Seen.String(), f.Unseen.String(), f.WorstLang + " " + f.Worst.String(), r.own(f, familyMean, f.VsMean)}
		if r.Reference != "" {
			row = append(row, r.own(f, r.Reference, f.VsTuned), r.own(f, r.Reference, f.UnseenVs))
		}
		out = append(out, row)
	}
	return out
}

// costTable is a row per family that ran runs of its own, the header first.
func (r *Report) costTable() [][]string {
	out := [][]string{{"", "seconds a step", "of mean's", "training", "peak memory", "of mean's", "conflict"}}
	mean := r.family(familyMean)
	families, names := r.distinct()
	for i, f := range families {
		time1, memory := none, none
		if mean != nil {
			time1, memory = decimal(f.StepSeconds/mean.StepSeconds, 2)+"×", decimal(float64(f.PeakBytes)/float64(mean.PeakBytes), 2)+"×"
		}
		out = append(out, []string{names[i], decimal(f.StepSeconds, 3), time1, report.Duration(time.Duration(f.Seconds * float64(time.Second))), report.Bytes(f.PeakBytes), memory, percent(f.Conflict)})
	}
	return out
}

// costs is what the reader of costTable needs to know.
const costs = "The median step, and all steps together without evaluation, mean over seeds; the device memory's peak. Conflict is the share of pairs of languages whose gradients have a negative inner product, over all steps and buckets."

// chosen says what was chosen for the family, and from how many.
func (r *Report) chosen(f Family) string {
	s := "lr " + number(f.Chosen.LR)
	if name := f.Chosen.String(); name != f.Name {
		s = name + ", " + s
	}
	if f.Candidates > 1 {
		s += fmt.Sprintf(" (of %d)", f.Candidates)
	}
	if n := len(f.Seeds); n < r.Grid.Seeds {
		s += ", " + count(n, "seed") + " only"
	}
	return s
}

// own leaves out the difference of a row from itself, and says where two rows
// chose the same runs.
func (r *Report) own(f Family, from string, d Difference) string {
	other := r.family(from)
	switch {
	case f.Name == from:
		return ""
	case other != nil && other.Chosen == f.Chosen:
		return "the same runs"
	}
	return d.String()
}

// distinct are the families without those that chose the same runs as one
// before, and their names with these.
func (r *Report) distinct() (out []Family, names []string) {
	for _, f := range r.Families {
		i := slices.IndexFunc(out, func(o Family) bool { return o.Chosen == f.Chosen })
		if i < 0 {
			out, names = append(out, f), append(names, f.Name)
		} else {
			names[i] += " = " + f.Name
		}
	}
	return out, names
}

func (r *Report) setting(key string) string {
	if v, ok := r.Settings[key].(float64); ok {
		return number(v)
	}
	return none
}

func (r *Report) steps() string {
	for _, run := range r.Runs {
		if run.Error == "" {
			return fmt.Sprint(run.Steps)
		}
	}
	return none
}

// languageTable is a row per language, the header first.
func (r *Report) languageTable() [][]string {
	families, names := r.distinct()
	out := [][]string{append([]string{"", "", "base model"}, names...)}
	if len(families) == 0 {
		return out
	}
	for i, l := range families[0].Languages {
		row := []string{l.Lang, map[bool]string{true: "seen", false: "unseen"}[l.Seen], decimal(score(r.Base, l.Lang), 3)}
		for _, f := range families {
			cell := decimal(float64(f.Languages[i].Test.Mean), 3)
			if f.Name != familyMean {
				cell += " (" + signed(float64(f.Languages[i].VsMean.Mean), 3) + ")"
			}
			row = append(row, cell)
		}
		out = append(out, row)
	}
	return out
}

// triedTable is a row per configuration, the header first. The validation
// figure that won is bold.
func (r *Report) triedTable() [][]string {
	out := [][]string{{"configuration", "lr", "validation, seen", "seen", "unseen", "chosen as", "failed"}}
	for _, t := range r.Tried {
		valid := t.Valid.String()
		if slices.ContainsFunc(t.ChosenFor, func(f string) bool { return r.family(f).Candidates > 1 }) {
			valid = "**" + valid + "**"
		}
		failed := ""
		if t.Failed > 0 {
			failed = count(t.Failed, "run")
		}
		out = append(out, []string{t.Name, number(t.LR), valid, t.Test.String(), t.Unseen.String(), strings.Join(t.ChosenFor, ", "), failed})
	}
	return out
}

// table writes rows in Markdown; the first is the header.
func table(b *strings.Builder, rows [][]string) {
	for i, row := range rows {
		for _, cell := range row {
			b.WriteString("| " + strings.ReplaceAll(cell, "|", `\|`) + " ")
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
}
