package audit

import (
	"fmt"
	"path/filepath"
	"strings"

	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/study"
	"concord/internal/train"
)

// lockFile pins, in the audit's folder, the settings that its runs have in common.
const lockFile = "audit.lock.json"

// lock is the state that the calls of one audit share.
type lock struct {
	Version     string   `json:"version"`
	Steps       int      `json:"steps"`     // of a run on all languages
	RunSteps    int      `json:"run_steps"` // of the run file's
	StepSeconds float64  `json:"step_seconds"`
	EvalSeconds float64  `json:"eval_seconds"`
	Hurt        []string `json:"hurt,omitempty"` // the languages that remedies are tried for
	study.Pinned
}

// free are settings that an audit sets itself, or that change nothing of the results.
var free = []string{"run.name", "run.dir", "objective.", "log.", "checkpoint.", "probe.", "cluster."}

// pin makes the lock, or takes the one that is there if it may be gone on with.
func (a *audit) pin(run train.Varied, runSteps int) error {
	a.lr = run.LR
	if mc, err := model.ReadConfig(run.ModelPath()); err == nil { // of another form: no layers are frozen
		a.params, a.layers = model.ParamSpecs(mc), mc.Layers
	}
	pinned, err := study.Pin(run, free)
	if err != nil {
		return err
	}
	now, before := lock{Version: train.BuildVersion().Version, RunSteps: runSteps, Pinned: pinned}, lock{}
	path := filepath.Join(a.out, lockFile)
	if there, err := study.ReadLock(path, &before); err != nil || !there {
		a.plan = now
		return err
	}
	if err := before.continues(now, path); err != nil {
		return err
	}
	if a.o.Steps > 0 && before.Steps > 0 && a.o.Steps != before.Steps {
		return &fault.Usage{Where: path, Msg: fmt.Sprintf("the runs there have %d steps, and --steps asks for %d", before.Steps, a.o.Steps),
			Fix: "leave out --steps, or audit into another folder with --out"}
	}
	a.plan = before
	return nil
}

// continues refuses to go on with runs of other settings, files or versions.
func (l lock) continues(now lock, path string) error {
	var changes []string
	if l.Version != now.Version {
		changes = append(changes, fmt.Sprintf("they are of version %s, this is %s", l.Version, now.Version))
	}
	changes = append(changes, l.Changes(now.Pinned)...)
	if len(changes) == 0 {
		return nil
	}
	return &fault.Usage{Where: path, Msg: "the runs there do not go together with this run file: " + strings.Join(changes, "; "),
		Fix: "undo the change, or audit into another folder with --out"}
}

func (l lock) write(dir string) error { return study.WriteLock(filepath.Join(dir, lockFile), l) }
