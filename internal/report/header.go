package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// Begin prints the header.
func (r *Reporter) Begin(h Header) {
	h.Kind = "header"
	r.header = h
	r.pace.Start(h.Start)
	r.json(h)
	device := h.Device
	if h.Software {
		device += " (software, on the CPU)"
	}
	r.Printf(" run     %s → %s", h.Name, h.Dir)
	trained := ""
	if h.Trained > 0 && h.Trained != h.Parameters { // some are frozen, or an adapter's are beside them
		trained = fmt.Sprintf("; trained are %s", Count(h.Trained))
	}
	r.Printf(" model   %s  %s parameters%s", h.Model, Count(h.Parameters), trained)
	if h.ByTemplate {
		r.Printf("         examples begin and end as the chat template writes them")
	} else {
		r.Printf("         examples begin with %s, end with %s", cmp.Or(h.BOS, "nothing"), cmp.Or(h.EOS, "nothing"))
	}
	if len(h.Stops) > 0 {
		r.Printf("         answers stop at %s", strings.Join(h.Stops, ", "))
	}
	if h.EOS == "" && !h.ByTemplate {
		r.Printf(" !       no end-of-text token: the model will not learn to stop. Give eos_token in tokenizer_config.json, or " +
			"eos_token_id in config.json")
	}
	r.Printf(" device  %s, %s", device, h.Backend)
	r.Printf(" memory  %s of tensors, budget %s", Bytes(h.Planned), Bytes(h.Budget))
	r.Printf(" method  %s, scope %s: %s, %s", h.Method, h.Scope, Plural(h.Buckets, "bucket"), Plural(len(h.Languages), "language"))
	if len(h.Languages) > 1 {
		r.Printf("         cos, in the lines below: mean cosine so far between two languages' gradients; below 0 they conflict")
	}
	met := ""
	if len(h.Languages) > 1 {
		met = fmt.Sprintf("; %.0f%% of the steps hold two languages or more", 100*h.Met)
	}
	r.Printf(" step    %s × %d tokens, %.0f%% filled; %s, %.1f epochs%s", Plural(h.Rows, "row"), h.SeqLen, 100*h.Packing,
		Plural(h.Steps, "step"), h.Epochs, met)
	if !r.silent() {
		DataTable(r.opt.Out, h.Data)
		Warn(r.opt.Out, h.Warnings)
	}
}

// DataTable prints a line for every language: its training documents and their tokens, those
// of the tokens that have a loss and their share, how often the run reads them, held-out examples, and
// the share of its steps that hold another language too; then the examples, where they are
// not the documents, and the documents left out and why.
func DataTable(w io.Writer, data []Data) {
	r := Reporter{opt: Options{Out: w}}
	const line = " %-7s %-8s %9s %7s %7s %5s %6s %8s %11s"
	r.Printf(line, "data", "lang", "documents", "tokens", "trained", "share", "epochs", "held out", "with others")
	for _, d := range data {
		if !d.Seen {
			r.Printf(line, "", d.Lang, "", "", "", "", "", Count(int64(d.Heldout)), "not trained")
			continue
		}
		r.Printf(line, "", d.Lang, Count(int64(d.Documents)), Count(int64(d.Tokens)), Count(int64(d.Supervised)),
			percent(float64(d.Supervised)/float64(d.Tokens)),
			decimal(float64(d.Epochs)), Count(int64(d.Heldout)), percent(float64(d.Met)))
	}
	r.examples(data)
	r.renderings(data)
	r.leftOut(data)
	for _, d := range data {
		for _, note := range d.Notes {
			r.Printf(" !       %s: %s", d.Lang, note)
		}
	}
}

// examples prints how many examples were made of documents that were split.
func (r *Reporter) examples(data []Data) {
	var langs []string
	for _, d := range data {
		if d.Examples != d.Documents {
			langs = append(langs, fmt.Sprintf("%s: %s", d.Lang, Count(int64(d.Examples))))
		}
	}
	if len(langs) > 0 {
		r.Printf("         examples, where long documents are split into several (%s)", strings.Join(langs, ", "))
	}
}

// leftOut prints the documents and tokens that were left out or read otherwise, each kind once with its languages.
func (r *Reporter) leftOut(data []Data) {
	for _, kind := range []struct {
		of         func(d *Data) int
		noun, what string
	}{
		{func(d *Data) int { return d.Empty }, "document", "empty: dropped"},
		{func(d *Data) int { return d.Masked }, "document", "without a supervised token: dropped"},
		{func(d *Data) int { return d.Duplicates }, "document", "equal to an earlier one: kept"},
		{func(d *Data) int { return d.Straddling }, "token",
			"across the border of prompt and answer: not trained (does a space belong to the answer?)"},
		{func(d *Data) int { return d.OwnMarks }, "BOS or EOS token", "in the text itself: not added again"},
		{func(d *Data) int { return d.NoTools }, "conversation",
			"with tools of which the chat template says nothing: they are not in the text"},
	} {
		r.left(data, kind.of, kind.noun, kind.what)
	}
	var fates []string // what was done differs by language
	for _, d := range data {
		if d.TooLong > 0 && !slices.Contains(fates, d.Overlong) {
			fates = append(fates, d.Overlong)
		}
	}
	for _, fate := range fates {
		r.left(data, func(d *Data) int { return map[bool]int{true: d.TooLong}[d.Overlong == fate] }, "document",
			"longer than data.max_len: "+fate)
	}
}

// left prints a line of so many of each language, if there are any.
func (r *Reporter) left(data []Data, of func(d *Data) int, noun, what string) {
	var langs []string
	all := 0
	for i := range data {
		if n := of(&data[i]); n > 0 {
			langs, all = append(langs, fmt.Sprintf("%s: %s", data[i].Lang, Count(int64(n)))), all+n
		}
	}
	if all > 0 {
		r.Printf(" !       %s %s%s %s (%s)", Count(int64(all)), noun, map[bool]string{false: "s"}[all == 1], what, strings.Join(langs, ", "))
	}
}

// renderings prints how conversations became text, each way once with its languages.
func (r *Reporter) renderings(data []Data) {
	var ways []string
	langs := map[string][]string{}
	for _, d := range data {
		if d.Rendering == "" {
			continue
		}
		if langs[d.Rendering] == nil {
			ways = append(ways, d.Rendering)
		}
		langs[d.Rendering] = append(langs[d.Rendering], d.Lang)
	}
	for _, way := range ways {
		of := ""
		if len(langs[way]) < len(data) {
			of = " (" + strings.Join(langs[way], " ") + ")"
		}
		r.Printf(" chat    %s%s", way, of)
	}
}

// Warn prints the warnings.
func Warn(w io.Writer, warnings []string) {
	for _, text := range warnings {
		fmt.Fprintln(w, " !       "+indented(text))
	}
}

// indented is a text whose further lines stand below the first, in the column after its mark.
func indented(text string) string { return strings.ReplaceAll(text, "\n", "\n         ") }

// percent is a share, "–" for none.
func percent(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return fmt.Sprintf("%.0f%%", 100*x)
}

func decimal(x float64) string {
	if math.IsNaN(x) {
		return "–"
	}
	return fmt.Sprintf("%.1f", x)
}
