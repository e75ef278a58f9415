package compare

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"concord/internal/fault"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/safetensors"
	"concord/internal/stats"
	"concord/internal/train"
)

// resultFile is the file that a comparison keeps of a run, in the run's folder.
const resultFile = "result.json"

// curvePoints is the most points of a loss curve that are kept.
const curvePoints = 60

// Result is the outcome of one run. Failed runs have an Error, and of the rest
// the parts that were there before it.
type Result struct {
	Spec
	Slug    string             `json:"slug"`
	Applied map[string]float64 `json:"applied_weights,omitempty"` // of the sweep, by language
	Error   string             `json:"error,omitempty"`
	Cause   string             `json:"cause,omitempty"` // of the error: "diverged", "device", "data" or "other"

	Base  []Score `json:"base,omitempty"`  // before the first step; only the first run measures it
	Valid []Score `json:"valid,omitempty"` // after the last step
	Test  []Score `json:"test,omitempty"`

	Steps       int     `json:"steps"`
	Tokens      int64   `json:"tokens"`       // of all batches, padding not counted
	Supervised  int64   `json:"supervised"`   // of these, the ones that carry loss
	Seconds     float64 `json:"seconds"`      // of all steps, evaluation not included
	StepSeconds float64 `json:"step_seconds"` // the median step's
	PeakBytes   int64   `json:"peak_bytes"`   // of device memory; restoring a checkpoint may add to it
	Negative    int64   `json:"negative_pairs"`
	Pairs       int64   `json:"pairs"` // 0: the method computes no Gram

	Docs map[string][]Doc `json:"documents,omitempty"` // by language, of the test half; absent where the run was resumed after its end

	Curve   []Point                 `json:"curve"`      // mean training loss of the languages
	First   map[string]report.Float `json:"first_loss"` // by language, of the first batch under the initial weights
	Batches string                  `json:"batches"`    // hash of the order of the batches
	Machine Machine                 `json:"machine"`
	Model   string                  `json:"model"`
}

// Score is one language's measurement on one half of its held-out examples.
type Score struct {
	Lang        string       `json:"lang"`
	Seen        bool         `json:"seen"` // trained on
	BitsPerByte report.Float `json:"bits_per_byte"`
	Bytes       int          `json:"bytes"`
	Examples    int          `json:"examples"`
}

// Doc is one held-out example: its summed loss in nats and its UTF-8 bytes.
type Doc struct {
	NLL   float64 `json:"nll"`
	Bytes int     `json:"bytes"`
}

// documents takes those of the test half from an evaluation.
func documents(e *report.Eval) map[string][]Doc {
	if e == nil {
		return nil
	}
	out := map[string][]Doc{}
	for _, row := range e.Rows {
		lang, isTest := strings.CutSuffix(row.Lang, TestSuffix)
		if !isTest {
			continue
		}
		for _, d := range row.Docs {
			out[lang] = append(out[lang], Doc{NLL: d.NLL, Bytes: d.Bytes})
		}
	}
	return out
}

// Point is a loss curve's: the mean over a stretch of steps, at its last.
type Point struct {
	Step int          `json:"step"`
	Loss report.Float `json:"loss"` // nats per supervised token
}

// Machine is the hardware and system that a run ran on.
type Machine struct {
	Device   string `json:"device"`
	Backend  string `json:"backend"`
	Software bool   `json:"software"` // a CPU adapter
}

// done reports whether the run needs no further attempt: it has finished, or
// failed in a way that it would again. A device may have got better.
func (r *Result) done() bool { return r != nil && (r.Error == "" || r.Cause != "device") }

// readResult reads the result of the run in dir; nil where there is none.
func readResult(dir string) (*Result, error) {
	b, err := os.ReadFile(filepath.Join(dir, resultFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	r := &Result{}
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err != nil {
		return nil, train.DataError(fmt.Errorf("%s: %w\n  fix: delete the folder %s; the run is then made again", filepath.Join(dir, resultFile),
			err, dir))
	}
	return r, nil
}

// write stores the result in the run's folder.
func (r *Result) write(dir string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return train.DataError(err)
	}
	return train.DataError(safetensors.WriteFile(filepath.Join(dir, resultFile), append(b, '\n')))
}

// newResult reads the records of the run in dir; failure is the reason of its end, nil if
// it is whole. seen are the languages trained on.
func newResult(s Spec, dir string, seen []string, failure error) (*Result, error) {
	r := &Result{Spec: s, Slug: s.Slug()}
	if err := r.read(rundir.Metrics(dir), seen); err != nil && !(failure != nil && errors.Is(err, os.ErrNotExist)) {
		return nil, train.DataError(err)
	}
	if failure != nil {
		r.Valid, r.Test = nil, nil
		r.Error, r.Cause = failure.Error(), cause(failure)
	}
	return r, nil
}

func cause(err error) string {
	switch {
	case errors.Is(err, train.ErrDiverged):
		return "diverged"
	case errors.Is(err, train.ErrDevice):
		return "device"
	case errors.Is(err, train.ErrData):
		return "data"
	}
	return "other"
}

// fatal reports whether err would stop every other run as well: a mistake in
// the configuration, or the disk.
func fatal(err error) bool {
	var path *os.PathError
	return fault.IsUsage(err) || errors.As(err, &path)
}

// read takes from a run's metrics the figures that a comparison needs.
func (r *Result) read(path string, seen []string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var steps []report.Step
	for line := range bytes.Lines(b) {
		var kind struct {
			Kind string `json:"kind"`
		}
		if json.Unmarshal(line, &kind) != nil {
			continue // cut short by a crash
		}
		if err := r.record(kind.Kind, line, &steps, seen); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return r.summarise(steps)
}

// record takes one line of the metrics.
func (r *Result) record(kind string, line []byte, steps *[]report.Step, seen []string) error {
	switch kind {
	case "header":
		var h report.Header
		if err := json.Unmarshal(line, &h); err != nil {
			return err
		}
		r.Machine = Machine{h.Device, h.Backend, h.Software}
		r.Model = fmt.Sprintf("%s, %s parameters", h.Model, report.Count(h.Parameters))
	case "step":
		var s report.Step
		if err := json.Unmarshal(line, &s); err != nil {
			return err
		}
		s.Buckets = nil // large, and not needed
		*steps = append(*steps, s)
	case "eval":
		var e report.Eval
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		r.Valid, r.Test = halves(e, seen)
		if e.Step == 0 {
			r.Base = append(slices.Clone(r.Valid), marked(r.Test)...)
		}
	case "end":
		var e report.End
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		r.PeakBytes = e.PeakBytes
	}
	return nil
}

// halves divides an evaluation's rows.
func halves(e report.Eval, seen []string) (valid, test []Score) {
	for _, row := range e.Rows {
		if row.Examples == 0 {
			continue // nothing was held out
		}
		lang, isTest := strings.CutSuffix(row.Lang, TestSuffix)
		s := Score{Lang: lang, Seen: slices.Contains(seen, lang), BitsPerByte: row.BitsPerByte, Bytes: row.Bytes, Examples: row.Examples}
		if isTest {
			test = append(test, s)
		} else {
			valid = append(valid, s)
		}
	}
	return valid, test
}

// marked gives the languages of the test half their suffix back.
func marked(test []Score) []Score {
	out := slices.Clone(test)
	for i := range out {
		out[i].Lang += TestSuffix
	}
	return out
}

// summarise takes the steps together.
func (r *Result) summarise(steps []report.Step) error {
	order := sha256.New()
	var seconds []float64
	for i, s := range steps {
		if i == 0 {
			r.First = s.LossByLang
		}
		if i > 0 && s.Step != steps[i-1].Step+1 {
			return fmt.Errorf("step %d is followed by step %d", steps[i-1].Step, s.Step)
		}
		b, err := json.Marshal(s.TokensByLang) // keys in order
		if err != nil {
			return err
		}
		fmt.Fprintf(order, "%d %d %s\n", s.Step, s.Tokens, b)
		for _, n := range s.TokensByLang {
			r.Supervised += int64(n)
		}
		r.Steps, r.Tokens = s.Step, s.TotalTokens
		r.Seconds += s.Seconds
		r.Negative, r.Pairs = r.Negative+int64(s.NegativePairs), r.Pairs+int64(s.Pairs)
		seconds = append(seconds, s.Seconds)
	}
	r.StepSeconds, r.Curve = stats.Median(seconds), curve(steps)
	r.Batches = hex.EncodeToString(order.Sum(nil))[:16]
	return nil
}

// curve is the steps' loss in at most curvePoints stretches.
func curve(steps []report.Step) []Point {
	width := max(1, (len(steps)+curvePoints-1)/curvePoints)
	out := []Point{}
	for part := range slices.Chunk(steps, width) {
		sum := 0.0
		for _, s := range part {
			sum += float64(s.Loss)
		}
		out = append(out, Point{part[len(part)-1].Step, report.Float(sum / float64(len(part)))})
	}
	return out
}

// average is the mean bits per byte of the scores with Seen == seen, NaN if
// there is none or one is not known.
func average(scores []Score, seen bool) float64 {
	sum, n := 0.0, 0
	for _, s := range scores {
		if s.Seen == seen {
			sum, n = sum+float64(s.BitsPerByte), n+1
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum / float64(n)
}
