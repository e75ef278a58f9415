package analyze

import (
	"fmt"
	"slices"
)

// Both is one layer before and after.
type Both struct {
	Base  Layer   `json:"base"`
	Tuned Layer   `json:"tuned"`
	CKA   float64 `json:"cka"`
}

// Result is the comparison of two models.
type Result struct {
	Langs  []string `json:"languages"`
	Layers []Both   `json:"layers"` // 0 is the embedding
}

// Compare measures every layer of two models on the same examples: base[l] and
// tuned[l] are layer l's states, (n, d).
func Compare(langs []string, labels []int, base, tuned [][][]float64) (*Result, error) {
	if len(base) != len(tuned) || len(base) == 0 || len(base[0]) != len(tuned[0]) {
		return nil, fmt.Errorf("models of %d and %d layers cannot be compared layer by layer", len(base)-1, len(tuned)-1)
	}
	r := &Result{Langs: langs}
	for l := range base {
		if len(base[l][0]) != len(tuned[l][0]) {
			return nil, fmt.Errorf("hidden sizes %d and %d cannot be compared dimension by dimension", len(base[l][0]), len(tuned[l][0]))
		}
		a, err := Measure(Cloud{base[l], labels, len(langs)})
		if err != nil {
			return nil, fmt.Errorf("base model, layer %d: %w", l, err)
		}
		b, err := Measure(Cloud{tuned[l], labels, len(langs)})
		if err != nil {
			return nil, fmt.Errorf("tuned model, layer %d: %w", l, err)
		}
		r.Layers = append(r.Layers, Both{a, b, CKA(base[l], tuned[l])})
	}
	return r, nil
}

// Shared counts the dimensions that are specific before and after.
func (b Both) Shared() int {
	n := 0
	for _, k := range b.Base.Specific {
		if slices.Contains(b.Tuned.Specific, k) {
			n++
		}
	}
	return n
}

// File is the content of analysis.json: tables and lines that a page shows as they
// are, and the whole result.
type File struct {
	Title  string  `json:"title"`
	Note   string  `json:"note"`
	Tables []Table `json:"tables"`
	Lines  []Lines `json:"lines"`
	Detail *Result `json:"detail"`
}

// Table is rows of numbers and texts.
type Table struct {
	Title   string   `json:"title"`
	Note    string   `json:"note,omitempty"`
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

// Lines is a chart over the layers.
type Lines struct {
	Title  string   `json:"title"`
	XLabel string   `json:"x_label"`
	YLabel string   `json:"y_label"`
	X      []int    `json:"x"`
	Series []Series `json:"series"`
}

// Series is one line of it.
type Series struct {
	Name string    `json:"name"`
	Y    []float64 `json:"y"`
}

const note = "Each held-out example's residual stream, averaged over the positions that predict its supervised " +
	"tokens; layer 0 is the embedding. " +
	"The probe is linear discriminant analysis, five folds; chance is one over the number of languages. Script and token " +
	"identity alone make languages separable at layer 0, " +
	"so what a layer adds is its value minus that of layer 0. A dimension is language-specific where language explains " +
	"at least 14 % of its variance (η²) and more than permuted labels do."

// File lays the result out.
func (r *Result) File() File {
	f := File{Title: "Separability of languages in the hidden states", Note: note, Detail: r}
	main := Table{Title: "By layer", Columns: []string{"layer", "probe, base", "probe, tuned", "± (95 %)", "Fisher, base",
		"Fisher, tuned", "separating, base", "separating, tuned", "specific, base", "specific, tuned", "in both", "CKA"}}
	single := Table{Title: "Language-specific dimensions by the language that they single out", Note: "base → tuned",
		Columns: append([]string{"layer"}, r.Langs...)}
	var x []int
	series := map[string][]float64{}
	for l, b := range r.Layers {
		half := max(b.Base.High-b.Base.Low, b.Tuned.High-b.Tuned.Low) / 2
		main.Rows = append(main.Rows, []any{l, b.Base.Accuracy, b.Tuned.Accuracy, half, b.Base.Fisher, b.Tuned.Fisher, b.Base.Large,
			b.Tuned.Large, len(b.Base.Specific), len(b.Tuned.Specific), b.Shared(), b.CKA})
		row := []any{l}
		for m := range r.Langs {
			row = append(row, fmt.Sprintf("%d → %d", b.Base.ByLang[m], b.Tuned.ByLang[m]))
		}
		single.Rows = append(single.Rows, row)
		x = append(x, l)
		for name, v := range map[string]float64{"probe, base": b.Base.Accuracy, "probe, tuned": b.Tuned.Accuracy,
			"Fisher, base": b.Base.Fisher, "Fisher, tuned": b.Tuned.Fisher,
			"specific, base": float64(len(b.Base.Specific)), "specific, tuned": float64(len(b.Tuned.Specific))} {
			series[name] = append(series[name], v)
		}
	}
	for _, c := range [][2]string{{"probe", "accuracy"}, {"Fisher", "ratio"}, {"specific", "dimensions"}} {
		f.Lines = append(f.Lines, Lines{Title: map[string]string{"probe": "Accuracy of the linear probe",
			"Fisher": "Between- over within-language scatter", "specific": "Language-specific dimensions"}[c[0]],
			XLabel: "layer", YLabel: c[1], X: x, Series: []Series{{"base", series[c[0]+", base"]}, {"tuned", series[c[0]+", tuned"]}}})
	}
	f.Tables = []Table{main, single}
	return f
}
