package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"

	"concord/internal/report"
)

// Early stopping: a run ends after eval.patience evaluations in a row without a lower
// mean (Prechelt, Early Stopping – But When?, 1998). The count is part of a
// checkpoint, so that a resumed run ends where it would have ended.

// count counts an evaluation that was due.
func (x *session) count(e *report.Eval) {
	if x.state.Patience.Of == 0 {
		return
	}
	x.state.Patience.Add(e.Mean(true), x.Done, x.cfg.Eval.MinGain)
	now := x.state.Patience
	e.Patience = &now
}

// patience takes up the count of an earlier process. One that took over from another
// leader finds the count of that one after its last checkpoint on record, at path.
func (t *Trainer) patience(s *state, path string) error {
	defer func() { s.Patience.Of = t.cfg.Eval.Patience }()
	if t.leads == nil {
		return nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for line := range bytes.Lines(b) {
		var e report.Eval
		if json.Unmarshal(line, &e) == nil && e.Kind == "eval" && e.Patience != nil && (s.Last == nil || e.Step > s.Last.Step) {
			s.Patience = *e.Patience
		}
	}
	return err
}
