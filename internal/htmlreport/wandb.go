package htmlreport

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"time"

	"concord/internal/wandb"
)

// WriteWandb writes the run's curves to a folder in dir, as Weights & Biases keeps a run
// that was not online, and returns that folder's path; folders of earlier calls for
// this run are removed. The run's id is made of its name, the time at which it began and the
// numbers of its records: an upload to a run that is there adds to its curves, so that one
// that has gone on must be another.
func (r *Run) WriteWandb(dir string, began time.Time) (folder string, err error) {
	hash := fnv.New64a()
	fmt.Fprintf(hash, "%s\n%d", r.Header.Name, began.UnixNano())
	id := fmt.Sprintf("%016x-", hash.Sum64())
	state := fmt.Sprintf("%d-%d", len(r.Steps), len(r.Evals))
	if r.End != nil {
		state += "-end"
	}
	run := wandb.Run{ID: id + state, Project: "concord", Name: r.Header.Name, Began: began, Config: r.settings()}
	var log bytes.Buffer
	w := wandb.New(&log, &run)
	for p := range r.points(began) {
		w.Step(p.at, int64(p.step), p.values)
	}
	if err := w.Close(r.End != nil); err != nil {
		return "", err
	}
	folder = filepath.Join(dir, run.Folder())
	// wandb sync puts settings and summary into files, and gives up on both without it
	if err := os.MkdirAll(filepath.Join(folder, "files"), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(folder, run.File()), log.Bytes(), 0o644); err != nil {
		return "", err
	}
	return folder, removeOthers(dir, id, run.Folder())
}

// removeOthers removes the folders in dir of a run whose id begins so, but for one.
func removeOthers(dir, id, keep string) error {
	all, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, x := range all {
		if name := x.Name(); strings.HasPrefix(name, "offline-run-") && strings.Contains(name, "-"+id) && name != keep {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// settings are the run's, by their keys in the run file where they have one.
func (r *Run) settings() map[string]any {
	h := r.Header
	all := map[string]any{
		"version": h.Version, "model": h.Model, "parameters": h.Parameters, "device": h.Device, "method": h.Method, "scope": h.Scope,
		"rows": h.Rows, "seq_len": h.SeqLen, "steps": h.Steps, "languages": h.Languages,
	}
	for _, s := range h.Settings {
		all[s.Key] = s.Value
	}
	return all
}
