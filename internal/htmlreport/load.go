// Package htmlreport turns a run's metrics into one self-contained HTML page, and
// the same figures into CSV and PNG files. It only reads; the figures that it shows beyond
// the recorded numbers (angles, gaps, noise floors) are derived from the recorded
// Gram matrices with package moo. Start reading at Load and Derive.
package htmlreport

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"concord/internal/report"
)

// Run is the content of a run's folder.
type Run struct {
	Header   report.Header // of the latest process
	Steps    []report.Step
	Evals    []report.Eval
	Grams    []report.Gram
	Probes   []report.Probe
	End      *report.End     // nil: the run is not finished
	Analysis json.RawMessage // analysis.json, or nil
	Warnings []string        // lines that could not be read
}

// ErrNoMetrics is in the chain of Load's error for a folder that is not a run's.
var ErrNoMetrics = errors.New("no metrics")

// Load reads dir/metrics.jsonl and, where it exists, dir/analysis.json. Lines
// that are not records, as a crash or a run that is being written leaves them,
// are passed over and named in Warnings.
func Load(dir string) (*Run, error) {
	path := filepath.Join(dir, "metrics.jsonl")
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is not there\n  fix: give the folder of a run, e.g. runs/names8", ErrNoMetrics, path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &Run{}
	if err := r.read(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Header.Kind == "" || len(r.Steps) == 0 && len(r.Evals) == 0 {
		return nil, fmt.Errorf("%w: %s holds no step and no evaluation yet\n  fix: wait for the run's first steps", ErrNoMetrics, path)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "analysis.json")); err == nil {
		if json.Valid(b) {
			r.Analysis = b
		} else {
			r.Warnings = append(r.Warnings, "analysis.json is not JSON: left out")
		}
	}
	return r, nil
}

// maxLine bounds one record: 64 languages in hundreds of buckets.
const maxLine = 64 << 20

func (r *Run) read(f io.Reader) error {
	s := bufio.NewScanner(f)
	s.Buffer(nil, maxLine)
	for n := 1; s.Scan(); n++ {
		if len(s.Bytes()) == 0 {
			continue
		}
		if err := r.record(s.Bytes()); err != nil {
			r.Warnings = append(r.Warnings, fmt.Sprintf("metrics.jsonl, line %d: %v: passed over", n, err))
		}
	}
	return s.Err()
}

// record adds one line. Records of an earlier process after the point from
// which a later one went on are replaced.
func (r *Run) record(line []byte) error {
	var k struct {
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(line, &k); err != nil {
		return errors.New("not a record")
	}
	switch k.Kind {
	case "header":
		var h report.Header
		if err := json.Unmarshal(line, &h); err != nil {
			return errors.New("a damaged header")
		}
		r.Header, r.End = h, nil
		r.forget(h.Start)
	case "step":
		if err := add(line, &r.Steps, func(s report.Step) int { return s.Step }); err != nil {
			return err
		}
		oneBucket(&r.Steps[len(r.Steps)-1])
	case "eval":
		return add(line, &r.Evals, func(e report.Eval) int { return e.Step })
	case "gram":
		return r.gram(line)
	case "probe":
		return add(line, &r.Probes, func(p report.Probe) int { return p.Step })
	case "end":
		r.End = &report.End{}
		return json.Unmarshal(line, r.End)
	}
	return nil // a kind of a later version
}

// add appends a record and drops earlier ones of the same step or later.
func add[T any](line []byte, list *[]T, step func(T) int) error {
	var x T
	if err := json.Unmarshal(line, &x); err != nil {
		return errors.New("a damaged record")
	}
	if step(x) < 0 || step(x) == 0 && !isEval(x) {
		return errors.New("a record without its step") // it would replace all the others
	}
	for len(*list) > 0 && step((*list)[len(*list)-1]) >= step(x) {
		*list = (*list)[:len(*list)-1]
	}
	*list = append(*list, x)
	return nil
}

// oneBucket shows weights that are part of the loss as those of one bucket, in place of
// buckets with nothing but a norm.
func oneBucket(s *report.Step) {
	told := func(b report.Bucket) bool { return b.Weights != nil || b.Pairs > 0 }
	if s.Weights != nil && !slices.ContainsFunc(s.Buckets, told) {
		nan := report.Float(math.NaN())
		s.Buckets = []report.Bucket{{Name: "all", Weights: s.Weights, MinCosine: nan, Norm: nan}}
	}
}

// isEval tells the one kind of record that there may be before the first step.
func isEval(x any) bool {
	_, ok := x.(report.Eval)
	return ok
}

// gram adds a snapshot whose matrices are of the header's languages. One that
// lacks a bucket would give the sum over the buckets a wrong value.
func (r *Run) gram(line []byte) error {
	var g report.Gram
	if err := json.Unmarshal(line, &g); err != nil {
		return errors.New("a damaged record")
	}
	m := len(r.Header.Languages)
	for _, b := range g.Buckets {
		if len(b.G) != m*(m+1)/2 {
			return fmt.Errorf("bucket %q has %d values for %d languages, not %d", b.Name, len(b.G), m, m*(m+1)/2)
		}
	}
	return add(line, &r.Grams, func(g report.Gram) int { return g.Step })
}

// forget drops the records after step start: the process that begins there does it
// again.
func (r *Run) forget(start int) {
	r.Steps = slices.DeleteFunc(r.Steps, func(s report.Step) bool { return s.Step > start })
	r.Evals = slices.DeleteFunc(r.Evals, func(e report.Eval) bool { return e.Step > start })
	r.Grams = slices.DeleteFunc(r.Grams, func(g report.Gram) bool { return g.Step > start })
	r.Probes = slices.DeleteFunc(r.Probes, func(p report.Probe) bool { return p.Step > start })
}
