package htmlreport

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"concord/internal/report"
)

// sheet is one figure as rows of text.
type sheet struct {
	name string
	rows [][]string // the first is the head
}

// WriteCSV writes one file per figure to dir, which is made, and returns their
// paths. Figures that the run has no data for are left out.
func (f *Figures) WriteCSV(dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var out []string
	for _, s := range f.sheets() {
		if len(s.rows) < 2 {
			continue
		}
		path := filepath.Join(dir, s.name+".csv")
		if err := writeSheet(path, s.rows); err != nil {
			return out, err
		}
		out = append(out, path)
	}
	return out, nil
}

func writeSheet(path string, rows [][]string) error {
	w, err := os.Create(path)
	if err != nil {
		return err
	}
	c := csv.NewWriter(w)
	err = c.WriteAll(rows)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}

// text is a number for a spreadsheet, empty where there is none.
func text[T ~float64](x T) string {
	if !finite(float64(x)) {
		return ""
	}
	return strconv.FormatFloat(float64(x), 'g', 7, 64)
}

func (f *Figures) sheets() []sheet {
	return []sheet{f.lossSheet(), f.evalSheet(), f.answerSheet(), f.bucketSheet(), f.cosineSheet(), f.snapshotSheet(),
		f.probeSheet(), f.phaseSheet(), f.memorySheet(), f.tokenSheet()}
}

func (f *Figures) lossSheet() sheet {
	s := sheet{"loss", [][]string{append([]string{"step", "tokens_per_second", "lr", "grad_norm"}, f.Langs...)}}
	for k, step := range f.Steps {
		row := []string{strconv.Itoa(step), text(f.Rate[k]), text(f.LR[k]), text(f.GradNorm[k])}
		for i := range f.Langs {
			row = append(row, text(f.Loss[i][k]))
		}
		s.rows = append(s.rows, row)
	}
	return s
}

func (f *Figures) evalSheet() sheet {
	s := sheet{"bits_per_byte", [][]string{{"step", "language", "seen", "bits_per_byte", "nll_nats", "tokens", "bytes", "examples", "heldout",
		"low", "high", "change", "change_low", "change_high", "answers", "exact_match", "exact_low", "exact_high", "chrf", "chrf_low",
		"chrf_high"}}}
	for _, e := range f.Evals {
		for _, r := range e.Rows {
			nan := report.Float(math.NaN())
			exact, chrf := report.Estimate{Value: nan, Low: nan, High: nan}, report.Estimate{Value: nan, Low: nan, High: nan}
			if r.Exact != nil && r.ChrF != nil {
				exact, chrf = *r.Exact, *r.ChrF
			}
			low, high, change := nan, nan, report.Estimate{Value: nan, Low: nan, High: nan}
			if r.Interval != nil {
				low, high = r.Interval.Low, r.Interval.High
			}
			if r.Change != nil {
				change = *r.Change
			}
			s.rows = append(s.rows, []string{strconv.Itoa(e.Step), r.Lang, strconv.FormatBool(r.Seen), text(r.BitsPerByte), text(r.NLL),
				strconv.Itoa(r.Tokens), strconv.Itoa(r.Bytes), strconv.Itoa(r.Examples), strconv.Itoa(r.Heldout),
				text(low), text(high), text(change.Value), text(change.Low), text(change.High),
				strconv.Itoa(r.Answers), text(exact.Value), text(exact.Low), text(exact.High), text(chrf.Value), text(chrf.Low), text(chrf.High)})
		}
	}
	return s
}

// answerSheet has the model's answers to held-out prompts.
func (f *Figures) answerSheet() sheet {
	s := sheet{"answers", [][]string{{"step", "language", "prompt", "answer", "wanted", "ended", "scored"}}}
	for _, e := range f.Evals {
		for _, a := range e.Answers {
			s.rows = append(s.rows, []string{strconv.Itoa(e.Step), a.Lang, a.Prompt, a.Answer, a.Wanted, strconv.FormatBool(a.Ended),
				strconv.FormatBool(a.Scored)})
		}
	}
	return s
}

// bucketSheet is conflicts, weights and norms by bucket, one row per language.
func (f *Figures) bucketSheet() sheet {
	s := sheet{"buckets", [][]string{{"step", "bucket", "conflict_share", "language", "weight", "norm"}}}
	for k, step := range f.Steps {
		for b, name := range f.Buckets {
			for i, lang := range f.Langs {
				s.rows = append(s.rows, []string{strconv.Itoa(step), name, text(f.Conflict[b][k]), lang, text(f.Weights[b][i][k]),
					text(f.Norms[b][i][k])})
			}
		}
	}
	return s
}

func (f *Figures) cosineSheet() sheet {
	s := sheet{"cosines", [][]string{{"step", "bucket", "language", "other", "cosine", "standard_error"}}}
	pairs := func(step int, bucket string, c, errors []report.Float) {
		for i, a := range f.Langs {
			for j, b := range f.Langs[:i] {
				e := report.Float(math.NaN())
				if errors != nil {
					e = errors[i*len(f.Langs)+j]
				}
				s.rows = append(s.rows, []string{strconv.Itoa(step), bucket, a, b, text(c[i*len(f.Langs)+j]), text(e)})
			}
		}
	}
	for _, g := range f.Grams {
		pairs(g.Step, "all", g.Cosines, g.Errors)
		for _, b := range g.Buckets {
			pairs(g.Step, b.Name, b.Cosines, b.Errors)
		}
	}
	return s
}

// snapshotSheet is angle, length and gap by bucket, and the self-cosines.
func (f *Figures) snapshotSheet() sheet {
	s := sheet{"resolution", [][]string{append([]string{"step", "bucket", "angle_degrees", "length_ratio", "stationarity_gap"},
		prefixed("self_cosine_", f.Langs)...)}}
	for _, g := range f.Grams {
		s.rows = append(s.rows, append([]string{strconv.Itoa(g.Step), "all", "", "", text(g.Gap)}, make([]string, len(f.Langs))...))
		for _, b := range g.Buckets {
			row := []string{strconv.Itoa(g.Step), b.Name, text(b.Angle), text(b.Ratio), text(b.Gap)}
			for i := range f.Langs {
				v := report.Float(math.NaN())
				if i < len(b.Self) {
					v = b.Self[i]
				}
				row = append(row, text(v))
			}
			s.rows = append(s.rows, row)
		}
	}
	return s
}

func prefixed(prefix string, names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, prefix+n)
	}
	return out
}

func (f *Figures) probeSheet() sheet {
	s := sheet{"probes", [][]string{{"step", "language", "predicted", "realised"}}}
	for _, p := range f.Probes {
		for _, lang := range f.Langs {
			if x, ok := p.Predicted[lang]; ok {
				s.rows = append(s.rows, []string{strconv.Itoa(p.Step), lang, text(x), text(p.Realised[lang])})
			}
		}
	}
	return s
}

func (f *Figures) phaseSheet() sheet {
	s := sheet{"phases", [][]string{{"step", "phase", "seconds"}}}
	for _, p := range f.Probes {
		for _, name := range sorted(p.Phases) {
			s.rows = append(s.rows, []string{strconv.Itoa(p.Step), name, text(p.Phases[name])})
		}
	}
	return s
}

func (f *Figures) memorySheet() sheet {
	s := sheet{"memory", [][]string{{"role", "bytes_at_peak"}}}
	if f.End != nil {
		for _, role := range sorted(f.End.BytesByRole) {
			s.rows = append(s.rows, []string{role, fmt.Sprint(f.End.BytesByRole[role])})
		}
	}
	return s
}

func (f *Figures) tokenSheet() sheet {
	s := sheet{"tokens", [][]string{{"language", "supervised_tokens"}}}
	for _, lang := range sorted(f.Tokens) {
		s.rows = append(s.rows, []string{lang, strconv.Itoa(f.Tokens[lang])})
	}
	return s
}
