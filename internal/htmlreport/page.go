package htmlreport

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"

	"concord/internal/report"
)

//go:embed page
var files embed.FS

// Figures is everything the page, the CSV files and the PNG files show.
type Figures struct {
	Header   report.Header      `json:"header"`
	Langs    []string           `json:"langs"` // trained on, in the Grams' order
	Before   *report.Eval       `json:"before"`
	After    *report.Eval       `json:"after"`
	Evals    []report.Eval      `json:"evals"`
	Steps    []int              `json:"steps"` // of the series below
	Every    int                `json:"every"` // steps that one point of them averages
	Loss     [][]report.Float   `json:"loss"`  // by language
	Rate     []report.Float     `json:"rate"`  // tokens per second, padding not counted
	LR       []report.Float     `json:"lr"`
	GradNorm []report.Float     `json:"grad_norm"`          // of the resolved gradient, before clipping
	Cosines  []runCosines       `json:"run_cosines"`        // over the whole run: of all buckets together, then of each
	Machines *Machines          `json:"machines,omitempty"` // of a run on many
	Buckets  []string           `json:"buckets"`
	Conflict [][]report.Float   `json:"conflict"` // by bucket: share of pairs, 0 … 1
	Weights  [][][]report.Float `json:"weights"`  // by bucket and language
	Norms    [][][]report.Float `json:"norms"`
	Grams    []snapshot         `json:"grams"`
	Probes   []report.Probe     `json:"probes"`
	Tokens   map[string]int     `json:"tokens"`
	Total    int64              `json:"total_tokens"`
	Seconds  float64            `json:"seconds"`
	End      *report.End        `json:"end"`
	Analysis json.RawMessage    `json:"analysis"`
	Warnings []string           `json:"warnings"`
}

// numbers bounds how many values of one kind a page holds; longer runs are
// averaged over steps, and thinned in snapshots.
const numbers = 120_000

// Derive computes the figures of a run. The same run gives the same figures.
func Derive(r *Run) *Figures {
	f := &Figures{Header: r.Header, Langs: r.Header.Languages, Evals: r.Evals, Probes: r.Probes, End: r.End, Analysis: r.Analysis,
		Warnings: r.Warnings, Tokens: map[string]int{}}
	if n := len(r.Evals); n > 0 {
		f.Before, f.After = &r.Evals[0], &r.Evals[n-1]
	}
	f.Buckets = bucketNames(r.Steps)
	f.Cosines = overRun(r)
	f.series(r.Steps)
	per := max(1, len(f.Buckets)*len(f.Langs)*len(f.Langs))
	for _, i := range thin(len(r.Grams), max(2, min(100, numbers/per))) {
		f.Grams = append(f.Grams, derive(r.Grams[i], len(f.Langs)))
	}
	for _, s := range r.Steps {
		for lang, n := range s.TokensByLang {
			f.Tokens[lang] += n
		}
		f.Seconds += s.Seconds
		f.Total = s.TotalTokens
	}
	return f
}

// thin picks at most most of n indices, evenly, first and last among them.
func thin(n, most int) []int {
	var out []int
	if n <= most {
		for i := range n {
			out = append(out, i)
		}
		return out
	}
	for i := range most {
		out = append(out, i*(n-1)/(most-1))
	}
	return out
}

func bucketNames(steps []report.Step) []string {
	var out []string
	for _, s := range steps {
		for _, b := range s.Buckets {
			if !slices.Contains(out, b.Name) {
				out = append(out, b.Name)
			}
		}
		if len(out) > 0 {
			break // a run's buckets do not change
		}
	}
	return out
}

// Machines is how the exchange of a run on many machines went, by point of Steps.
type Machines struct {
	Workers  []report.Float `json:"workers"`
	Exchange []report.Float `json:"exchange"` // seconds from the first row sent to the last bucket received
	Exposed  []report.Float `json:"exposed"`  // of those, with nothing else to do
	Sent     []report.Float `json:"sent"`     // bytes, by machine 1
	Missing  int            `json:"missing"`  // steps that were made without some rows
	Pairs    []Pair         `json:"pairs"`    // at the run's end, or now
}

// Pair is how two machines reach each other.
type Pair struct {
	Machines string `json:"machines"`
	Path     string `json:"path"`    // direct, punched, relayed
	Relayed  int64  `json:"relayed"` // bytes that machine 1 has passed on
}

// machines adds one point of the exchange, where the steps have any.
func (f *Figures) machines(steps []report.Step) {
	of := func(value func(*report.Exchange) float64) func(report.Step) float64 {
		return func(s report.Step) float64 {
			if s.Exchange == nil {
				return math.NaN()
			}
			return value(s.Exchange)
		}
	}
	if f.Machines == nil {
		f.Machines = &Machines{}
	}
	m := f.Machines
	m.Workers = append(m.Workers, mean(steps, 2, of(func(x *report.Exchange) float64 { return float64(x.Workers) })))
	m.Exchange = append(m.Exchange, mean(steps, 4, of(func(x *report.Exchange) float64 { return x.Seconds })))
	m.Exposed = append(m.Exposed, mean(steps, 4, of(func(x *report.Exchange) float64 { return x.Exposed })))
	m.Sent = append(m.Sent, mean(steps, 0, of(func(x *report.Exchange) float64 { return float64(x.SentBytes) })))
	for _, s := range steps {
		if s.Exchange != nil && len(s.Exchange.Missing) > 0 {
			m.Missing++
		}
	}
}

// series averages the step records over Every steps a point.
func (f *Figures) series(steps []report.Step) {
	per := max(1, len(f.Buckets)*len(f.Langs))
	f.Every = max(1, (len(steps)+points(per)-1)/points(per))
	together := slices.ContainsFunc(steps, func(s report.Step) bool { return s.Exchange != nil })
	for first := 0; first < len(steps); first += f.Every {
		f.point(steps[first:min(first+f.Every, len(steps))])
		if together {
			f.machines(steps[first:min(first+f.Every, len(steps))])
		}
	}
}

func points(per int) int { return max(20, min(600, numbers/per)) }

// point adds one point, the mean of some steps.
func (f *Figures) point(steps []report.Step) {
	if f.Loss == nil {
		f.Loss = make([][]report.Float, len(f.Langs))
		f.Conflict = make([][]report.Float, len(f.Buckets))
		f.Weights, f.Norms = make([][][]report.Float, len(f.Buckets)), make([][][]report.Float, len(f.Buckets))
		for b := range f.Buckets {
			f.Weights[b], f.Norms[b] = make([][]report.Float, len(f.Langs)), make([][]report.Float, len(f.Langs))
		}
	}
	f.Steps = append(f.Steps, steps[len(steps)-1].Step)
	for i, lang := range f.Langs {
		f.Loss[i] = append(f.Loss[i], mean(steps, 5, func(s report.Step) float64 {
			if l, ok := s.LossByLang[lang]; ok {
				return float64(l)
			}
			return math.NaN()
		}))
	}
	f.Rate = append(f.Rate, mean(steps, 1, func(s report.Step) float64 { return float64(s.Tokens) / s.Seconds }))
	f.LR = append(f.LR, significant(mean(steps, 12, func(s report.Step) float64 { return float64(s.LR) })))
	f.GradNorm = append(f.GradNorm, mean(steps, 5, func(s report.Step) float64 { return float64(s.GradNorm) }))
	for b, name := range f.Buckets {
		f.bucketPoint(b, name, steps)
	}
}

func (f *Figures) bucketPoint(b int, name string, steps []report.Step) {
	of := func(s report.Step) *report.Bucket {
		if b < len(s.Buckets) && s.Buckets[b].Name == name {
			return &s.Buckets[b]
		}
		return nil
	}
	f.Conflict[b] = append(f.Conflict[b], mean(steps, 4, func(s report.Step) float64 {
		if x := of(s); x != nil && x.Pairs > 0 {
			return float64(x.NegativePairs) / float64(x.Pairs)
		}
		return math.NaN()
	}))
	for i, lang := range f.Langs { // only of steps that had the language: elsewhere its weight is 0 for want of a gradient
		had := func(s report.Step) bool { _, ok := s.LossByLang[lang]; return ok }
		f.Weights[b][i] = append(f.Weights[b][i], mean(steps, 5, func(s report.Step) float64 {
			if x := of(s); x != nil && i < len(x.Weights) && had(s) {
				return x.Weights[i]
			}
			return math.NaN()
		}))
		f.Norms[b][i] = append(f.Norms[b][i], mean(steps, 7, func(s report.Step) float64 {
			if x := of(s); x != nil && i < len(x.Norms) && had(s) {
				return float64(x.Norms[i])
			}
			return math.NaN()
		}))
	}
}

// significant keeps four digits.
func significant(x report.Float) report.Float {
	v, err := strconv.ParseFloat(strconv.FormatFloat(float64(x), 'g', 4, 64), 64)
	if err != nil {
		return report.Float(math.NaN())
	}
	return report.Float(v)
}

// mean is over the finite values, rounded; NaN without any.
func mean(steps []report.Step, digits int, value func(report.Step) float64) report.Float {
	sum, n := 0.0, 0.0
	for _, s := range steps {
		if v := value(s); finite(v) {
			sum += v
			n++
		}
	}
	return round(sum/n, digits)
}

// HTML is the page: one file that loads nothing.
func (f *Figures) HTML() ([]byte, error) {
	data, err := json.Marshal(f) // escapes <, > and &, so that no text of a run ends the script
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	text := func(name string) string {
		b, _ := files.ReadFile("page/" + name) // embedded
		return string(b)
	}
	t, err := template.New("page").Parse(text("page.html"))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Title": f.Header.Name, "CSS": template.CSS(text("page.css")), "Data": template.JS(data),
		"Chart": template.JS(text("chart.js")), "Script": template.JS(text("page.js")),
	})
	return out.Bytes(), err
}
