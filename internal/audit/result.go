package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"concord/internal/compare"
	"concord/internal/report"
	"concord/internal/safetensors"
	"concord/internal/train"
)

// resultFile is the record that an audit keeps of a run, in the run's folder.
const resultFile = "result.json"

// Result is the outcome of one run.
type Result struct {
	Spec
	Steps   int                `json:"steps"`
	Tokens  int64              `json:"tokens"`            // read
	ByLang  map[string]int     `json:"supervised_tokens"` // trained on, by language
	Seconds float64            `json:"seconds"`           // all of it
	Step    float64            `json:"step_seconds"`      // a step of training, mean
	Peak    int64              `json:"peak_bytes"`
	Error   string             `json:"error,omitempty"`
	Base    map[string]float64 `json:"base,omitempty"` // bits per byte before the first step
	Bits    map[string]float64 `json:"bits,omitempty"` // bits per byte after the last
	Docs    map[string][]Doc   `json:"documents,omitempty"`
	Grams   []report.Gram      `json:"grams,omitempty"` // of armGradients
	Langs   []string           `json:"languages,omitempty"`
	Machine string             `json:"machine,omitempty"`
	Model   string             `json:"model,omitempty"`
}

// Doc is one held-out example: its loss in bits and its UTF-8 bytes.
type Doc struct {
	Bits  float64 `json:"bits"`
	Bytes int     `json:"bytes"`
}

// read takes from a finished run the figures that an audit needs.
func (r *Result) read(sum *train.Summary) error {
	r.Steps, r.Peak = sum.End.Steps, sum.End.PeakBytes
	if sum.Before != nil {
		r.Base, _ = measured(sum.Before)
	}
	if sum.After != nil {
		r.Bits, r.Docs = measured(sum.After)
	}
	b, err := os.ReadFile(metrics(sum.Dir))
	if err != nil {
		return train.DataError(err)
	}
	r.ByLang = map[string]int{}
	for line := range strings.Lines(string(b)) {
		if err := r.record([]byte(line)); err != nil {
			return train.DataError(fmt.Errorf("%s: %w", metrics(sum.Dir), err))
		}
	}
	r.Step /= float64(max(1, r.Steps))
	return nil
}

// record takes one line of the metrics.
func (r *Result) record(line []byte) error {
	var kind struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "header":
		var h report.Header
		if err := json.Unmarshal(line, &h); err != nil {
			return err
		}
		r.Machine, r.Langs = h.Device, h.Languages
		r.Model = fmt.Sprintf("%s, %s parameters", h.Model, report.Count(h.Parameters))
	case "step":
		var s report.Step
		if err := json.Unmarshal(line, &s); err != nil {
			return err
		}
		for lang, n := range s.TokensByLang {
			r.ByLang[lang] += n
		}
		r.Tokens, r.Step = s.TotalTokens, r.Step+s.Seconds
	case "gram":
		var g report.Gram
		if err := json.Unmarshal(line, &g); err != nil {
			return err
		}
		r.Grams = append(r.Grams, g)
	}
	return nil
}

// measured are the languages' bits per byte, both halves of the held-out examples together.
func measured(e *report.Eval) (bits map[string]float64, docs map[string][]Doc) {
	bits, docs = map[string]float64{}, map[string][]Doc{}
	bytes := map[string]float64{}
	for _, row := range e.Rows {
		if row.Examples == 0 {
			continue
		}
		lang := strings.TrimSuffix(row.Lang, compare.TestSuffix)
		bits[lang] += float64(row.NLL) / math.Ln2
		bytes[lang] += float64(row.Bytes)
		for _, d := range row.Docs {
			docs[lang] = append(docs[lang], Doc{d.NLL / math.Ln2, d.Bytes})
		}
	}
	for lang := range bits {
		bits[lang] /= bytes[lang]
	}
	return bits, docs
}

// readResults finds the results of earlier calls.
func (a *audit) readResults() error {
	entries, err := os.ReadDir(filepath.Join(a.out, "runs"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return train.DataError(err)
	}
	for _, e := range entries {
		path := filepath.Join(a.out, "runs", e.Name(), resultFile)
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		r := &Result{}
		if err == nil {
			err = json.Unmarshal(b, r)
		}
		if err != nil || r.Slug() != e.Name() {
			return train.DataError(fmt.Errorf("%s is not the result of that run: %v\n  fix: delete the folder; the run is then made again", path,
				err))
		}
		a.results[r.Slug()] = r
	}
	return nil
}

// keep stores a result in the run's folder and removes the other large files there.
func (a *audit) keep(r *Result) error {
	dir := filepath.Join(a.out, "runs", r.Slug())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return train.DataError(err)
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := safetensors.WriteFile(filepath.Join(dir, resultFile), append(b, '\n')); err != nil {
		return train.DataError(err)
	}
	a.results[r.Slug()] = r
	model, rest := train.Leftovers(dir)
	for _, p := range append(rest, model) {
		if err := os.RemoveAll(p); err != nil {
			return train.DataError(err)
		}
	}
	return nil
}

// of are the whole results of an arm at a learning rate, by seed.
func (a *audit) of(s Spec) (out []*Result) {
	for _, r := range a.results {
		if r.Arm == s.Arm && r.Only == s.Only && r.LR == s.LR && r.Data == s.Data && r.Error == "" {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(x, y *Result) int { return int(x.Seed) - int(y.Seed) })
	return out
}
