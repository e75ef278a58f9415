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
	b.WriteString("\n## By method\n\n" + r.explain() + "\n\n")
	table(&b, r.familyTable())
	if len(r.Alone) > 0 {
		b.WriteString("\n## Each language alone\n\n" + aloneText + "\n\n")
		table(&b, r.aloneTable())
	}
	b.WriteString("\n## Cost\n\n" + costs + "\n\n")
	table(&b, r.costTable())
	b.WriteString("\n## By language\n\nBits per byte on the test half: mean over seeds, and in brackets the difference from mean.\n\n")
	table(&b, r.languageTable())
	b.WriteString("\n## What was tried\n\nUnder the tuning seeds. What is bold was chosen by the validation half; the rest of the figures " +
		"are the test half's.\n\n")
	table(&b, r.triedTable())
	if len(r.Failures) > 0 {
		b.WriteString("\n## Failures\n\n")
		for _, f := range r.Failures {
			fmt.Fprintf(&b, "- `%s`, after step %d: %s\n", f.Slug, f.Steps, strings.ReplaceAll(f.Error, "\n", " "))
		}
	}
	return b.String()
}

// explain is the text that the reader of the table needs.
func (r *Report) explain() string {
	if r.keyed() {
		return explanation + " Examples are resampled in each language by itself, and here they have keys: where languages have translations " +
			"of the same examples their differences go together, and intervals of means over languages may be wider than shown."
	}
	return explanation
}

// keyed says that examples have keys, which translations share.
func (r *Report) keyed() bool {
	for key, v := range r.Settings {
		source := strings.HasPrefix(key, "data.source.") && strings.HasSuffix(key, ".key")
		if text, ok := v.(string); ok && text != "" && (source || key == "data.align") {
			return true
		}
	}
	return false
}

const explanation = "Bits per byte on the test half of the held-out examples (lower is better), mean ± standard deviation over " +
	"the judging seeds. The other half chose, under the tuning seeds. " +
	"Differences are from the best scalarisation at the same sampling temperature, so that both see the same batches, paired by seed; 95 " +
	"% intervals for all rows together (Dunnett, variances over seeds moderated, held-out examples resampled). " +
	"Detectable: the difference that would show in 4 of 5 such comparisons. At equal seen loss: against mean at the learning rate at " +
	"which its trained languages are as good."

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
	batch := fmt.Sprintf("%s × %s rows of %s tokens a step, %s steps", r.setting("batch.accumulate"), r.setting("batch.rows"),
		r.setting("batch.seq_len"), r.steps())
	first := r.Grid.FirstSeed + uint64(r.Grid.TuneSeeds)
	seeds := fmt.Sprintf("%d … %d chose, %d … %d judged", r.Grid.FirstSeed, first-1, first, first+uint64(r.Grid.Seeds)-1)
	out := [][2]string{
		{"model", r.Model},
		{"batch", batch},
		{"device", fmt.Sprintf("%s; %s/%s, %d CPUs%s", device, r.Version.OS, r.Version.Arch, r.CPUs, jobs)},
		{"program", "concord " + r.Version.Version + ", " + r.Version.Go},
		{"runs", fmt.Sprintf("%d finished, %d failed, of %d; about %s tokens each", r.Finished, len(r.Failures), r.Planned,
			report.Count(r.Tokens))},
		{"seeds", seeds},
		{"trained languages", strings.Join(r.Languages, " ")},
		{"reference", r.Reference},
		{"equivalence margin", number(r.Grid.Margin) + " bits per byte"},
	}
	if w := r.chosenWeights(); w != "" {
		out = append(out, [2]string{"chosen static weights", w})
	}
	return out
}

// chosenWeights are the static weights that were chosen, scaled to a mean of
// one; "" where uniform ones were, or none were tried.
func (r *Report) chosenWeights() string {
	f := r.family(familyTuned)
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
	out := [][]string{{"", "chosen", "seen", "unseen", "worst seen", "Δ seen vs " + r.Reference, "detectable", "Δ worst seen",
		"Δ unseen vs " + r.Reference,
		"Δ unseen at equal seen loss"}}
	for _, f := range r.Families {
		out = append(out, []string{f.Name, r.chosen(f), f.Seen.String(), f.Unseen.String(), f.WorstLang + " " + f.Worst.String(),
			own(f, f.VsRef), decimal(float64(f.VsRef.Detectable), 4), own(f, f.WorstVs), own(f, f.UnseenVs), signed(float64(f.AtEqualLoss.Mean), 4)})
	}
	return out
}

// aloneTable is a row per trained language that was also trained by itself.
func (r *Report) aloneTable() [][]string {
	out := [][]string{{"", "alone", "in the mixture", "mixture − alone", "chosen alone"}}
	for _, l := range r.Alone {
		out = append(out, []string{l.Lang, l.ByItself.String(), l.Mixture.String(), l.Effect.String(), "lr " + number(l.Alone.LR)})
	}
	return out
}

// aloneText is the text that the reader of aloneTable needs.
const aloneText = "Bits per byte of each language on its test half, trained by itself for as many tokens of it as the mixture has, and " +
	"in the mixture under mean; learning rates tuned for both. Above 0 the other languages hurt it. 95 % intervals for all languages together."

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
		out = append(out, []string{names[i], decimal(f.StepSeconds, 3), time1, report.Duration(time.Duration(f.Seconds * float64(time.Second))),
			report.Bytes(f.PeakBytes), memory, percent(f.Conflict)})
	}
	return out
}

// costs is the text that the reader of costTable needs.
const costs = "The median step, and all steps together without evaluation, mean over seeds; the device memory's peak. Conflict is the " +
	"share of pairs of languages whose gradients have a negative inner product, over all steps and buckets."

// chosen names the choice for the family, and from how many.
func (r *Report) chosen(f Family) string {
	s := "lr " + number(f.Chosen.LR)
	if len(r.Grid.Temperatures) > 1 {
		s += ", T " + number(f.Chosen.Temperature)
	}
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

// own leaves out the difference of a row from itself.
func own(f Family, d Difference) string {
	if f.Chosen == f.Reference {
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
	i := slices.IndexFunc(families, func(f Family) bool { return len(f.Languages) > 0 })
	if i < 0 {
		return out
	}
	for k, l := range families[i].Languages {
		row := []string{l.Lang, map[bool]string{true: "seen", false: "unseen"}[l.Seen], decimal(score(r.Base, l.Lang), 3)}
		for _, f := range families {
			cell := none
			if len(f.Languages) > 0 {
				cell = decimal(float64(f.Languages[k].Test.Mean), 3)
			}
			if f.Name != familyMean && len(f.Languages) > 0 {
				cell += " (" + signed(float64(f.Languages[k].VsMean.Mean), 3) + ")"
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
	out := [][]string{{"configuration", "lr", "T", "validation, seen", "seen", "unseen", "chosen as", "failed"}}
	for _, t := range r.Tried {
		valid := t.Valid.String()
		if len(t.ChosenFor) > 0 {
			valid = "**" + valid + "**"
		}
		failed := ""
		if t.Failed > 0 {
			failed = count(t.Failed, "run")
		}
		out = append(out, []string{t.Name, number(t.LR), number(t.Temperature), valid, t.Test.String(), t.Unseen.String(),
			strings.Join(t.ChosenFor, ", "), failed})
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
