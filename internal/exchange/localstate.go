package exchange

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
	"sync"

	"concord/internal/checkpoint"
	"concord/internal/fault"
	"concord/internal/safetensors"
	"concord/transport"
)

// A run's checkpoints are machine 1's. Where the others hold something that it does
// not (with outer steps their moments, with those and resolve = "local" the state that their
// methods carry, with int8 the error feedback), each saves it in its own folder
// whenever machine 1 saves, and takes it up again when the run goes on from there: so a
// run resumes to the same bits with the same machines. Of equal machines the one that
// leads saves its own, too: it may not be the one that leads then.

// LocalFolder is where in a machine's folder it keeps that, by run.
func LocalFolder(dir string, ca [32]byte) string {
	return filepath.Join(dir, "apart", hex.EncodeToString(ca[:6]))
}

// localFolder is that folder with the save that is being written to it.
type localFolder struct {
	path  string // "" none
	saves sync.WaitGroup
	log   func(format string, args ...any)
}

// holdsLocal says that machines of this run hold state that others do not.
func (d *Distributed) holdsLocal() bool { return d.localState || d.quantises() }

// quantises says that the values that machines send are rounded, with error feedback.
func (d *Distributed) quantises() bool { return d.opt.Codec == transport.Int8 }

// feedbackName begins the name in a file of a row's error feedback.
const feedbackName = "remainder/"

// LocalEntries implements Exchange: the error feedback before the next step.
func (d *Distributed) LocalEntries() (out []safetensors.Entry) {
	if d.member == nil || !d.quantises() {
		return nil
	}
	r := d.member.ErrorFeedback(d.Exchanges())
	for _, name := range slices.Sorted(maps.Keys(r)) {
		out = append(out, safetensors.Entry{Name: feedbackName + name, DType: safetensors.F32, Shape: []int{len(r[name])},
			Data: func() ([]float32, error) { return r[name], nil }})
	}
	return out
}

// readFeedback reads it from a file that may have none.
func readFeedback(f *safetensors.Reader) (map[string][]float32, error) {
	out := map[string][]float32{}
	for _, name := range f.Names() {
		row, ok := strings.CutPrefix(name, feedbackName)
		if !ok {
			continue
		}
		x, err := f.ReadFloat32(name)
		if err != nil {
			return nil, fault.Data(err)
		}
		out[row] = x
	}
	return out, nil
}

// saveLocalState saves the state that only this machine, which has joined a run, holds before
// the present step. It is written while the step goes on, from memory, and is there
// before the step is committed: from then on machine 1's checkpoint is one that the run
// may go on from. That it cannot be written is told, and no more: the run does not
// depend on it. saved is called when it is there, or cannot be.
func (d *Distributed) saveLocalState(saved func()) {
	if d.local.path == "" || !d.holdsLocal() {
		saved()
		return
	}
	d.local.saves.Wait() // the last one
	n := d.Done
	failed := func(err error) {
		d.local.log("cannot save this machine's part of the state before step %d: %v; a resume from there will not be exact", n+1, err)
	}
	s, err := json.Marshal(d.saved())
	var entries []safetensors.Entry
	if err == nil {
		entries, err = d.self.localTensors()
	}
	if err != nil {
		failed(err)
		saved()
		return
	}
	d.local.saves.Go(func() {
		defer saved()
		path, err := checkpoint.Save(d.local.path, n, []checkpoint.File{
			{Name: StateFile, Write: func(w io.Writer) error { _, err := w.Write(s); return err }},
			{Name: TensorsFile, Write: func(w io.Writer) error { return safetensors.Encode(w, entries, nil) }},
		})
		if err == nil {
			err = checkpoint.Prune(d.local.path, d.opt.Keep, path)
		}
		if err != nil {
			failed(err)
		}
	})
}

// localTensors are the tensors that only this machine holds.
func (d *Distributed) localTensors() ([]safetensors.Entry, error) { return d.LocalEntries(), nil }

// LeaveRun saves the local state when the run ends for this machine: machine 1 has
// saved the state before the step that was begun here or comes next, and the run may
// be resumed.
func (d *Distributed) LeaveRun() error {
	if err := d.self.undo(); err != nil {
		return err
	}
	d.saveLocalState(func() {})
	d.WaitSaved()
	return nil
}

// WaitSaved waits until the running save is on disk.
func (d *Distributed) WaitSaved() { d.local.saves.Wait() }

func (d *Distributed) undo() error {
	d.Objective.Undo(int64(d.Done))
	return nil
}

// RestoreLocalState takes up the state saved before the next step, if that was of this
// very state of the run.
func (d *Distributed) RestoreLocalState() error {
	d.feedback = nil // of the machine that has saved it
	d.member.SetErrorFeedback(nil)
	if d.local.path == "" || !d.holdsLocal() {
		return nil
	}
	path, err := checkpoint.At(d.local.path, d.Done)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, checkpoint.ErrNone) {
		return nil
	}
	var s Saved
	if err == nil {
		err = ReadSaved(path, d.Settings.Identity, &s)
	}
	if err == nil && s.Root != d.root {
		return nil // the run has gone back and come another way
	}
	if err == nil {
		err = d.readLocal(path, s)
	}
	if err != nil {
		return fmt.Errorf("this machine's part of the state before step %d: %w\n  fix: remove %s, to go on without", d.Done+1, err, d.local.path)
	}
	return nil
}

func (d *Distributed) readLocal(path string, s Saved) error {
	f, err := safetensors.Open(filepath.Join(path, TensorsFile))
	if err != nil {
		return fault.Data(err)
	}
	defer f.Close()
	feedback, err := readFeedback(f)
	if err != nil {
		return err
	}
	if err := d.self.restoreLocal(f, s); err != nil {
		return err
	}
	d.member.SetErrorFeedback(feedback)
	return nil
}

func (d *Distributed) restoreLocal(_ *safetensors.Reader, s Saved) error {
	if !d.localState {
		return nil
	}
	return d.Objective.Restore(s.Objective)
}
