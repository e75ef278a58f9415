package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"concord/bucket"
	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/exchange"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/safetensors"
)

const (
	stateFile   = exchange.StateFile
	tensorsFile = exchange.TensorsFile
)

// state is everything of a checkpoint but the tensors.
type state struct {
	exchange.Saved
	Seconds     float64           `json:"seconds"`
	Choices     map[string]string `json:"kernel_variants"`
	Baseline    *report.Eval      `json:"baseline,omitempty"`     // before the first step
	BaselineNLL [][]float32       `json:"baseline_nll,omitempty"` // nats of its documents, by language
	Last        *report.Eval      `json:"last,omitempty"`         // the latest evaluation
	Best        float64           `json:"best,omitempty"`         // mean bits per byte of the trained languages
	BestStep    int               `json:"best_step,omitempty"`
	Patience    report.Patience   `json:"patience"`
	Sample      *sample           `json:"sample,omitempty"` // held-out examples of all evaluations; nil: still to be chosen
}

// best is the step of the best evaluation, 0 without any on the way: that of the state itself
// where the last evaluation, after the last step, is the best.
func (s state) best() int {
	if s.BestStep > 0 && s.Last != nil && s.Last.Step == s.Step && meanSeen(*s.Last) <= s.Best {
		return s.Step
	}
	return s.BestStep
}

// saved is the state before the next step, besides tensors and the times that the run's
// processes measure.
func (t *Trainer) saved() exchange.Saved {
	return exchange.Saved{State: t.State(), Carry: t.exchange.Carry()}
}

// save writes a checkpoint of the trainer as it stands and removes old ones. Values that
// other machines hold are fetched until ctx ends; one that has ended already, as by
// Ctrl-C, leaves a last time for it.
func (t *Trainer) save(ctx context.Context, dir string, s state) error {
	if ctx.Err() != nil {
		var end context.CancelFunc
		ctx, end = context.WithTimeout(context.WithoutCancel(ctx), lastFetch)
		defer end()
	}
	path := rundir.Checkpoints(dir)
	saved, err := checkpoint.Save(path, s.Step, []checkpoint.File{
		{Name: stateFile, Write: func(w io.Writer) error { return json.NewEncoder(w).Encode(s) }},
		{Name: tensorsFile, Write: func(w io.Writer) error {
			return safetensors.Encode(w, slices.Concat(t.Replica.Entries(t.States(), t.exchange.Reader(ctx)), t.exchange.Entries(),
				t.exchange.LocalEntries()), nil)
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

// lastFetch is how long an interrupted run waits for the parts that other machines hold of its
// last checkpoint.
const lastFetch = 30 * time.Second

// restore loads the checkpoint at path into the trainer.
func (t *Trainer) restore(path string, s state) error {
	return exchange.Restore(t.Replica, t.exchange, path, s.Saved)
}

// restoreWeights loads the weights alone, for exporting them.
func (t *Trainer) restoreWeights(path string) error {
	f, err := safetensors.Open(filepath.Join(path, tensorsFile))
	if err != nil {
		return DataError(err)
	}
	defer f.Close()
	return t.Load(f, bucket.Weight)
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
	return s, s.Check(path, identity(cfg))
}

// latest finds the newest whole checkpoint of a run and warns of damaged ones.
func latest(dir string, warn io.Writer) (path string, err error) {
	path, _, skipped, err := checkpoint.Latest(rundir.Checkpoints(dir))
	for _, s := range skipped {
		fmt.Fprintf(warn, "concord: passed over: %v\n", s)
	}
	if errors.Is(err, checkpoint.ErrNone) {
		return "", DataError(fmt.Errorf("%w: start the run again with concord train", err))
	}
	return path, err
}

// trimMetrics removes records that are about to be written again by a run that goes on after
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
