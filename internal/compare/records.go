package compare

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"

	"concord/internal/fault"
	"concord/internal/report"
	"concord/internal/safetensors"
	"concord/internal/study"
	"concord/internal/train"
)

// records is a file of finished runs, a line each, small enough to be committed: a
// comparison of the same settings in another checkout begins with them. Its first line
// has the things that are the same in all runs. Bits per byte are kept to six digits, examples'
// losses to 1/128 nat, or coarser so that the largest fits 16 bits; loss curves are not kept.
type records struct {
	path  string
	head  recordsHead
	lines map[string][]byte // by slug
	order []string
	warn  func(format string, args ...any)
}

// recordsHead is the first line.
type recordsHead struct {
	Records int    `json:"records"` // version of this form
	Version string `json:"version"` // of the program that began the file
	study.Pinned
	Common *common `json:"common,omitempty"` // nil before the first run
}

// common has the languages, examples and device that all runs of a comparison share.
type common struct {
	Valid   []Score          `json:"valid"` // without their bits per byte
	Test    []Score          `json:"test"`
	Bytes   map[string][]int `json:"bytes,omitempty"` // of the test half's examples, by language
	Machine Machine          `json:"machine"`
	Model   string           `json:"model"`
}

// recordLine is a run.
type recordLine struct {
	Spec
	Applied     map[string]float64 `json:"applied_weights,omitempty"`
	Error       string             `json:"error,omitempty"`
	Cause       string             `json:"cause,omitempty"`
	Base        []Score            `json:"base,omitempty"`
	Valid       []report.Float     `json:"valid,omitempty"` // in the order of common
	Test        []report.Float     `json:"test,omitempty"`
	First       []report.Float     `json:"first,omitempty"`    // by language, sorted; null: not in the first batch
	NLL         string             `json:"nll,omitempty"`      // uint16, little-endian, base64; languages sorted
	NLLUnit     float64            `json:"nll_unit,omitempty"` // steps of NLL in a nat; 0: nllUnit
	Steps       int                `json:"steps"`
	Tokens      int64              `json:"tokens"`
	Supervised  int64              `json:"supervised"`
	Seconds     float64            `json:"seconds"`
	StepSeconds float64            `json:"step_seconds"`
	PeakBytes   int64              `json:"peak_bytes"`
	Negative    int64              `json:"negative_pairs,omitempty"`
	Pairs       int64              `json:"pairs,omitempty"`
	Batches     string             `json:"batches"`
}

// recordsForm is the version of the form.
const recordsForm = 1

// openRecords reads the file at path, or begins one. Runs with other settings or files
// than pinned are refused; settings that this version, by isSetting, has no more are not compared.
func openRecords(path string, pinned study.Pinned, isSetting func(key string) bool, warn func(string, ...any)) (*records, error) {
	r := &records{path: path, head: recordsHead{Records: recordsForm, Version: train.BuildVersion().Version, Pinned: pinned},
		lines: map[string][]byte{}, warn: warn}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, train.DataError(err)
	}
	for n, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		if err := r.read(n, line); err != nil {
			return nil, train.DataError(fmt.Errorf("%s:%d: %w\n  fix: the file as it was committed, or another --results", path, n+1, err))
		}
	}
	old := study.Pinned{Settings: maps.Clone(r.head.Settings), Files: r.head.Files}
	maps.DeleteFunc(old.Settings, func(k string, _ any) bool { return !isSetting(k) })
	if changes := old.Changes(pinned); len(changes) > 0 {
		return nil, &fault.Usage{Where: path, Msg: "the runs there were made with other settings: " + strings.Join(changes, "; "),
			Fix: "undo the change, or another file with --results"}
	}
	return r, nil
}

// read takes line n.
func (r *records) read(n int, line []byte) error {
	if n == 0 {
		r.head = recordsHead{}
		if err := json.Unmarshal(line, &r.head); err != nil {
			return err
		}
		if r.head.Records != recordsForm {
			return fmt.Errorf("records of form %d; this program reads form %d", r.head.Records, recordsForm)
		}
		return nil
	}
	var l recordLine
	if err := json.Unmarshal(line, &l); err != nil {
		return err
	}
	if r.head.Common == nil {
		return errors.New("a run comes before the languages are known")
	}
	res, err := l.result(r.head.Common)
	if err != nil {
		return err
	}
	r.put(res.Slug, slices.Clone(line))
	return nil
}

func (r *records) put(slug string, line []byte) {
	if r.lines[slug] == nil {
		r.order = append(r.order, slug)
	}
	r.lines[slug] = line
}

// results are the runs of the file, in its order.
func (r *records) results() (out []*Result) {
	for _, slug := range r.order {
		var l recordLine
		if json.Unmarshal(r.lines[slug], &l) != nil {
			continue // read has taken it
		}
		if res, err := l.result(r.head.Common); err == nil {
			out = append(out, res)
		}
	}
	return out
}

// add keeps a finished run and writes the file. A run that measured other languages or
// examples, or on another device, than the first cannot stand in it: that is said.
func (r *records) add(res *Result) error {
	if r == nil || r.lines[res.Slug] != nil || !res.done() {
		return nil
	}
	c := commonOf(res)
	if r.head.Common == nil && res.Error == "" {
		r.head.Common = c
	}
	if r.head.Common == nil || res.Error == "" && !reflect.DeepEqual(c, r.head.Common) {
		r.warn("%s is not kept in %s: its languages, examples or device are not those of the runs there", res.Slug, r.path)
		return nil
	}
	line, err := json.Marshal(newLine(res))
	if err != nil {
		return err
	}
	r.put(res.Slug, line)
	return r.write()
}

func (r *records) write() error {
	head, err := json.Marshal(r.head)
	if err != nil {
		return err
	}
	text := append(head, '\n')
	for _, slug := range r.order {
		text = append(append(text, r.lines[slug]...), '\n')
	}
	return train.DataError(safetensors.WriteFile(r.path, text))
}

// commonOf takes from a run the part that all of them share.
func commonOf(res *Result) *common {
	c := &common{Valid: blank(res.Valid), Test: blank(res.Test), Machine: res.Machine, Model: res.Model}
	for l, docs := range res.Docs {
		if c.Bytes == nil {
			c.Bytes = map[string][]int{}
		}
		for _, d := range docs {
			c.Bytes[l] = append(c.Bytes[l], d.Bytes)
		}
	}
	return c
}

// blank is scores without their bits per byte.
func blank(scores []Score) []Score {
	out := slices.Clone(scores)
	for i := range out {
		out[i].BitsPerByte = 0
	}
	return out
}

// newLine is a run's line.
func newLine(res *Result) recordLine {
	l := recordLine{Spec: res.Spec, Applied: res.Applied, Error: res.Error, Cause: res.Cause, Base: res.Base, Valid: bits(res.Valid),
		Test: bits(res.Test), Steps: res.Steps, Tokens: res.Tokens, Supervised: res.Supervised, Seconds: digits(res.Seconds, 1e2),
		StepSeconds: digits(res.StepSeconds, 1e4), PeakBytes: res.PeakBytes, Negative: res.Negative, Pairs: res.Pairs, Batches: res.Batches}
	for _, lang := range trained(res.Valid) {
		v, ok := res.First[lang]
		if !ok { // trained alone, or an independent draw without it
			v = report.Float(math.NaN())
		}
		l.First = append(l.First, report.Float(digits(float64(v), 1e6)))
	}
	unit := unitOf(res.Docs)
	if unit != nllUnit {
		l.NLLUnit = unit
	}
	var nll []byte
	for _, lang := range slices.Sorted(maps.Keys(res.Docs)) {
		for _, d := range res.Docs[lang] {
			nll = binary.LittleEndian.AppendUint16(nll, uint16(min(max(math.Round(d.NLL*unit), 0), math.MaxUint16)))
		}
	}
	l.NLL = base64.StdEncoding.EncodeToString(nll)
	return l
}

// nllUnit is the steps of an example's loss in a nat, where no example has 512 of them.
const nllUnit = 128

// unitOf is nllUnit halved until the largest loss fits 16 bits.
func unitOf(docs map[string][]Doc) float64 {
	unit := float64(nllUnit)
	for _, list := range docs {
		for _, d := range list {
			for !math.IsInf(d.NLL, 0) && d.NLL*unit > math.MaxUint16 {
				unit /= 2
			}
		}
	}
	return unit
}

// trained are the languages of scores that were trained on, sorted.
func trained(scores []Score) (out []string) {
	for _, s := range scores {
		if s.Seen {
			out = append(out, s.Lang)
		}
	}
	slices.Sort(out)
	return out
}

func digits(v, unit float64) float64 { return math.Round(v*unit) / unit }

func bits(scores []Score) (out []report.Float) {
	for _, s := range scores {
		out = append(out, report.Float(digits(float64(s.BitsPerByte), 1e6)))
	}
	return out
}

// result makes the run of a line.
func (l recordLine) result(c *common) (*Result, error) {
	r := &Result{Spec: l.Spec, Slug: l.Slug(), Applied: l.Applied, Error: l.Error, Cause: l.Cause, Base: l.Base, Steps: l.Steps,
		Tokens: l.Tokens, Supervised: l.Supervised, Seconds: l.Seconds, StepSeconds: l.StepSeconds, PeakBytes: l.PeakBytes,
		Negative: l.Negative, Pairs: l.Pairs, Batches: l.Batches, Machine: c.Machine, Model: c.Model, Curve: []Point{}}
	if l.Error != "" {
		return r, nil
	}
	nll, err := base64.StdEncoding.DecodeString(l.NLL)
	langs, unit := trained(c.Valid), cmp.Or(l.NLLUnit, nllUnit)
	if err != nil || len(l.Valid) != len(c.Valid) || len(l.Test) != len(c.Test) || len(l.First) != len(langs) {
		return nil, fmt.Errorf("the run %s does not have the figures of the languages of the first line", r.Slug)
	}
	r.Valid, r.Test = filled(c.Valid, l.Valid), filled(c.Test, l.Test)
	r.First = map[string]report.Float{}
	for i, v := range l.First {
		if !math.IsNaN(float64(v)) {
			r.First[langs[i]] = v
		}
	}
	r.Docs = map[string][]Doc{}
	for _, lang := range slices.Sorted(maps.Keys(c.Bytes)) {
		for _, n := range c.Bytes[lang] {
			if len(nll) < 2 {
				return nil, fmt.Errorf("the run %s has fewer examples than the first line", r.Slug)
			}
			r.Docs[lang] = append(r.Docs[lang], Doc{NLL: float64(binary.LittleEndian.Uint16(nll)) / unit, Bytes: n})
			nll = nll[2:]
		}
	}
	return r, nil
}

// filled is scores with their bits per byte.
func filled(scores []Score, bits []report.Float) []Score {
	out := slices.Clone(scores)
	for i := range out {
		out[i].BitsPerByte = bits[i]
	}
	return out
}

// takeRecords begins with the runs of the file at path that this comparison has not made,
// and adds to the file those that it has.
func (r *runner) takeRecords(path string, warn io.Writer) error {
	if path == "" {
		return nil
	}
	var err error
	say := func(format string, args ...any) { fmt.Fprintf(warn, "concord: "+format+"\n", args...) }
	if r.records, err = openRecords(path, r.lock.Pinned, r.base.IsSetting, say); err != nil {
		return err
	}
	known := map[string]Spec{}
	for _, s := range append(r.grid.tuning(r.facts.langs), r.grid.judging(r.configs())...) {
		known[s.Slug()] = s
	}
	for _, res := range r.records.results() {
		if s, ok := known[res.Slug]; ok && s == res.Spec && r.results[res.Slug] == nil {
			if err := res.write(r.dir(res.Spec)); err != nil {
				return err
			}
			r.results[res.Slug] = res
		}
	}
	for _, slug := range sortedKeys(r.results) {
		if err := r.records.add(r.results[slug]); err != nil {
			return err
		}
	}
	return nil
}
