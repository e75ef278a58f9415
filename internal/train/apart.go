package train

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"concord/bucket"
	"concord/internal/checkpoint"
	"concord/internal/safetensors"
)

// A run's checkpoints are machine 1's. Where the others hold something that it does
// not (with outer steps their moments, with those and resolve = "local" what their
// methods carry, with int8 what rounding left behind), each saves it in its own
// folder whenever machine 1 saves, and takes it up again when the run goes on from
// there: so a run resumes to the same bits with the same machines. Of equal machines
// the one that leads saves its own, too: it may not be the one that leads then.

// apartFolder is where in a machine's folder it keeps that, by run.
func apartFolder(dir string, ca [32]byte) string {
	return filepath.Join(dir, "apart", hex.EncodeToString(ca[:6]))
}

// apart says that machines of this run hold what others do not.
func (t *Trainer) apart() bool {
	return t.outer != nil || t.cfg.Cluster.Local() || t.rounds()
}

// rounds says that what machines send is rounded, with error feedback.
func (t *Trainer) rounds() bool { return t.cfg.Clustered() && t.cfg.Cluster.Format() == "int8" }

// remainderName is the name in a file of what rounding left behind of a row.
const remainderName = "remainder/"

// remainders are what rounding left behind before the next step.
func (t *Trainer) remainders() (out []safetensors.Entry) {
	if t.team == nil || !t.rounds() {
		return nil
	}
	r := t.team.member.Remainder(t.exchanges())
	for _, name := range slices.Sorted(maps.Keys(r)) {
		out = append(out, safetensors.Entry{Name: remainderName + name, DType: safetensors.F32, Shape: []int{len(r[name])},
			Data: func() ([]float32, error) { return r[name], nil }})
	}
	return out
}

// readRemainders reads them from a file that may have none.
func readRemainders(f *safetensors.Reader) (map[string][]float32, error) {
	out := map[string][]float32{}
	for _, name := range f.Names() {
		row, ok := strings.CutPrefix(name, remainderName)
		if !ok {
			continue
		}
		x, err := f.ReadFloat32(name)
		if err != nil {
			return nil, DataError(err)
		}
		out[row] = x
	}
	return out, nil
}

// keepApart saves what only this machine, which has joined a run, holds before the
// present step. It is written while the step goes on, from memory; that it cannot be
// is told, and no more: the run does not depend on it.
func (t *Trainer) keepApart() {
	x := t.team
	if x.apart == "" || !t.apart() {
		return
	}
	x.saves.Wait() // the last one
	step := t.step
	failed := func(err error) {
		x.log("cannot save this machine's part of the state before step %d: %v; a resume from there will not be exact", step+1, err)
	}
	s, err := json.Marshal(t.bareState())
	entries := t.remainders()
	if t.outer != nil && err == nil {
		var more []safetensors.Entry
		more, err = t.outer.moments(t)
		entries = append(entries, more...)
	}
	if err != nil {
		failed(err)
		return
	}
	x.saves.Go(func() {
		path, err := checkpoint.Save(x.apart, step, []checkpoint.File{
			{Name: stateFile, Write: func(w io.Writer) error { _, err := w.Write(s); return err }},
			{Name: tensorsFile, Write: func(w io.Writer) error { return safetensors.Encode(w, entries, nil) }},
		})
		if err == nil {
			err = checkpoint.Prune(x.apart, t.cfg.Checkpoint.Keep, path)
		}
		if err != nil {
			failed(err)
		}
	})
}

// leaveApart is keepApart for a machine whose run ends: machine 1 has saved the state
// before the step that was begun here or comes next, and the run may be resumed.
func (t *Trainer) leaveApart() error {
	switch {
	case t.outer != nil:
		if err := t.outer.undo(t); err != nil {
			return err
		}
	default:
		t.objective.Undo(int64(t.step))
	}
	t.keepApart()
	t.team.saves.Wait()
	return nil
}

// takeApart takes up what keepApart saved before the next step, if that was of this
// very state of the run.
func (t *Trainer) takeApart() error {
	t.team.member.SetRemainder(nil) // of other steps
	if t.team.apart == "" || !t.apart() {
		return nil
	}
	path, err := checkpoint.At(t.team.apart, t.step)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, checkpoint.ErrNone) {
		return nil
	}
	var s state
	if err == nil {
		s, err = readState(path, t.cfg)
	}
	if err == nil && s.Root != t.root {
		return nil // the run has gone back and come another way
	}
	if err == nil {
		err = t.restoreApart(path, s)
	}
	if err != nil {
		return fmt.Errorf("this machine's part of the state before step %d: %w\n  fix: remove %s, to go on without", t.step+1, err, t.team.apart)
	}
	return nil
}

func (t *Trainer) restoreApart(path string, s state) error {
	f, err := safetensors.Open(filepath.Join(path, tensorsFile))
	if err != nil {
		return DataError(err)
	}
	defer f.Close()
	r, err := readRemainders(f)
	if err != nil {
		return err
	}
	if t.outer != nil {
		for _, m := range []bucket.State{bucket.First, bucket.Second} {
			if err := t.load(f, m); err != nil {
				return err
			}
		}
		t.adam.SetSteps(s.Updates)
		t.clip = s.Clip
	}
	if t.outer != nil || t.cfg.Cluster.Local() {
		if err := t.objective.Restore(s.Objective); err != nil {
			return err
		}
	}
	t.team.member.SetRemainder(r)
	return nil
}
