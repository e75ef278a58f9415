package compare

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"path/filepath"
	"strconv"

	"concord/internal/report"
	"concord/internal/safetensors"
	"concord/internal/train"
)

// write stores the report in four forms in dir.
func (r *Report) write(dir string) error {
	asJSON, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	page, err := r.html()
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"report.json": append(asJSON, '\n'), "report.md": []byte(r.markdown()), "report.csv": r.csv(),
		"report.html": page} {
		if err := safetensors.WriteFile(filepath.Join(dir, name), text); err != nil {
			return train.DataError(err)
		}
	}
	return nil
}

// csvHeader are the columns of report.csv: one row per run, half and language.
var csvHeader = []string{"run", "method", "scope", "control", "option", "weights", "mixing", "only", "temperature", "lr", "seed", "half",
	"lang", "seen", "bits_per_byte", "bytes", "tokens", "seconds", "step_seconds", "peak_bytes", "negative_pairs", "pairs"}

// csv has everything that was measured, for other programs.
func (r *Report) csv() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(csvHeader) // a bytes.Buffer takes everything
	for _, run := range r.Runs {
		for _, half := range []struct {
			name   string
			scores []Score
		}{{"valid", run.Valid}, {"test", run.Test}} {
			for _, s := range half.scores {
				w.Write([]string{run.Slug, run.Method, string(run.Scope), string(run.Control), run.Option, weightsName(run.Weights),
					string(run.Mixing), run.Only, number(run.Temperature), number(run.LR), strconv.FormatUint(run.Seed, 10),
					half.name, s.Lang, strconv.FormatBool(s.Seen), field(s.BitsPerByte), strconv.Itoa(s.Bytes), strconv.FormatInt(run.Tokens, 10),
					number(run.Seconds), number(run.StepSeconds), strconv.FormatInt(run.PeakBytes, 10), strconv.FormatInt(run.Negative, 10),
					strconv.FormatInt(run.Pairs, 10)})
			}
		}
	}
	w.Flush()
	return b.Bytes()
}

func weightsName(w Rule) string {
	if w.Kind == "" {
		return ""
	}
	return w.slug()
}

// field is a number for CSV, empty where there is none.
func field(v report.Float) string {
	if f := float64(v); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return number(f)
	}
	return ""
}
