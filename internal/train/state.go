package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"

	"concord/bucket"
	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/objective"
	"concord/internal/report"
	"concord/internal/safetensors"
)

const (
	checkpointFolder = "checkpoints"
	modelFolder      = "model"
	bestFolder       = "model-best"
	lockFile         = "run.lock.json"
	metricsFile      = "metrics.jsonl"
	stateFile        = "state.json"
	tensorsFile      = "tensors.safetensors"
)

// state is everything of a checkpoint but the tensors. Data order and
// randomness are pure functions of (seed, step), so step is their state; what
// the methods of package moo carry is in Objective.
type state struct {
	Step        int               `json:"step"`
	Tokens      int64             `json:"tokens"`
	Supervised  int64             `json:"supervised"`
	Clip        float64           `json:"clip_scale"` // of the last step, which metric = "adam" looks at
	Updates     int64             `json:"optimizer_updates"`
	Seconds     float64           `json:"seconds"`
	Method      string            `json:"method"`
	Scope       string            `json:"scope"`
	Langs       []string          `json:"languages"`
	Settings    *config.Objective `json:"objective_settings,omitempty"`
	Objective   objective.State   `json:"objective_state"`
	Outer       *objective.State  `json:"outer_objective_state,omitempty"` // of outer steps
	Root        string            `json:"root,omitempty"`                  // on many machines, of the last exchange's resolved buckets
	Choices     map[string]string `json:"kernel_variants"`
	Baseline    *report.Eval      `json:"baseline,omitempty"`     // before the first step
	BaselineNLL [][]float32       `json:"baseline_nll,omitempty"` // nats of its documents, by language
	Last        *report.Eval      `json:"last,omitempty"`         // the latest evaluation
	Best        float64           `json:"best,omitempty"`         // mean bits per byte of the trained languages
	BestStep    int               `json:"best_step,omitempty"`
}

// save writes a checkpoint of the trainer as it stands and removes old ones.
func (t *Trainer) save(dir string, s state) error {
	path := filepath.Join(dir, checkpointFolder)
	saved, err := checkpoint.Save(path, s.Step, []checkpoint.File{
		{Name: stateFile, Write: func(w io.Writer) error { return json.NewEncoder(w).Encode(s) }},
		{Name: tensorsFile, Write: func(w io.Writer) error {
			return safetensors.Encode(w, append(t.snapshot(states, t.reader()), t.remainders()...), nil)
		}},
	})
	if err != nil {
		return classify(err)
	}
	spare := []int{}
	if s.BestStep > 0 {
		spare = append(spare, s.BestStep)
	}
	return checkpoint.Prune(path, t.cfg.Checkpoint.Keep, saved, spare...)
}

// states are the values saved per parameter.
var states = []bucket.State{bucket.Weight, bucket.First, bucket.Second}

// snapshot lists states of all parameters, to be read one by one by read.
func (t *Trainer) snapshot(states []bucket.State, read func(bucket.State, string) ([]float32, error)) []safetensors.Entry {
	var out []safetensors.Entry
	for _, p := range params(t.corpus.model) {
		for _, s := range states {
			out = append(out, safetensors.Entry{Name: string(s) + "/" + p.Name, DType: safetensors.F32, Shape: []int{p.R, p.C},
				Data: func() ([]float32, error) { return read(s, p.Name) }})
		}
	}
	if t.outer != nil {
		out = append(out, t.outer.entries(t)...)
	}
	return out
}

// restore loads the checkpoint at path into the trainer.
func (t *Trainer) restore(path string, s state) error {
	f, err := safetensors.Open(filepath.Join(path, tensorsFile))
	if err != nil {
		return DataError(err)
	}
	defer f.Close()
	for _, st := range states {
		if t.store.Holds(st) {
			err = t.load(f, st)
		} else if st == bucket.First && t.team == nil { // of another machine there are no moments in the file
			err = t.restoreMoments(f)
		}
		if err != nil {
			return err
		}
	}
	t.supervised = s.Supervised
	t.step, t.tokens, t.clip, t.root = s.Step, s.Tokens, s.Clip, s.Root
	t.adam.SetSteps(s.Updates)
	if t.outer != nil {
		if err := t.outer.restore(t, f, s.Outer); err != nil {
			return err
		}
	}
	if t.remainder, err = readRemainders(f); err != nil {
		return err
	}
	return t.objective.Restore(s.Objective)
}

// load reads one state of every parameter.
func (t *Trainer) load(f *safetensors.Reader, st bucket.State) error {
	for _, p := range params(t.corpus.model) {
		v, err := f.ReadFloat32(string(st) + "/" + p.Name)
		if err != nil {
			return DataError(err)
		}
		if err := t.store.Load(st, p.Name, v); err != nil {
			return classify(err)
		}
	}
	return nil
}

// restoreWeights loads the weights alone, for exporting them.
func (t *Trainer) restoreWeights(path string) error {
	f, err := safetensors.Open(filepath.Join(path, tensorsFile))
	if err != nil {
		return DataError(err)
	}
	defer f.Close()
	return t.load(f, bucket.Weight)
}

// readState reads a verified checkpoint's state and checks that it is of the
// run that is being resumed.
func readState(path string, cfg *config.Config) (state, error) {
	var s state
	b, err := os.ReadFile(filepath.Join(path, stateFile))
	if err != nil {
		return s, DataError(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, DataError(fmt.Errorf("%s: %w", filepath.Join(path, stateFile), err))
	}
	if s.Method != cfg.Objective.Method || s.Scope != cfg.Objective.Scope {
		return s, DataError(fmt.Errorf("%s was made with method %s, scope %s; the run has %s, %s", path, s.Method, s.Scope, cfg.Objective.Method, cfg.Objective.Scope))
	}
	if s.Settings != nil {
		if key := differs(*s.Settings, cfg.Objective); key != "" {
			return s, DataError(fmt.Errorf("%s was made with another objective.%s than the run's: resuming would mix two objectives\n  fix: restore %s, or start a new run", path, key, lockFile))
		}
	}
	return s, nil
}

// differs names the first setting in which a and b differ, "" for none. What
// does not decide a step's result may differ.
func differs(a, b config.Objective) string {
	a.InFlight, b.InFlight = 0, 0
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range va.NumField() {
		x, _ := json.Marshal(va.Field(i).Interface()) // numbers, texts, maps: what TOML can hold
		y, _ := json.Marshal(vb.Field(i).Interface())
		if !bytes.Equal(x, y) && !(va.Field(i).IsZero() && vb.Field(i).IsZero()) {
			return va.Type().Field(i).Tag.Get("toml")
		}
	}
	return ""
}

// latest finds the newest whole checkpoint of a run and warns of damaged ones.
func latest(dir string, warn io.Writer) (path string, err error) {
	path, _, skipped, err := checkpoint.Latest(filepath.Join(dir, checkpointFolder))
	for _, s := range skipped {
		fmt.Fprintf(warn, "concord: passed over: %v\n", s)
	}
	if errors.Is(err, checkpoint.ErrNone) {
		return "", DataError(fmt.Errorf("%w: start the run again with concord train", err))
	}
	return path, err
}

// trimMetrics removes what is about to be recorded again by a run that goes on behind
// a step, whose latest evaluation that is known is last, and a last line cut short.
func trimMetrics(path string, step int, last *report.Eval) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	measured := last != nil && last.Step == step
	var kept []byte
	for line := range bytes.Lines(b) {
		var r struct {
			Kind string `json:"kind"`
			Step int    `json:"step"`
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if json.Unmarshal(line, &r) != nil || r.Step > step || r.Kind == "end" || r.Kind == "eval" && r.Step == step && !measured {
			continue
		}
		kept = append(append(kept, line...), '\n')
	}
	return safetensors.WriteFile(path, kept)
}

// lastEnd is the record that closes the metrics of a finished run.
func lastEnd(path string) (end report.End, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return end, false
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	err = json.Unmarshal(b[bytes.LastIndexByte(b, '\n')+1:], &end)
	return end, err == nil && end.Kind == "end"
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
