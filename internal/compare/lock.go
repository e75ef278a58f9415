package compare

import (
	"fmt"
	"path/filepath"
	"strings"

	"concord/internal/fault"
	"concord/internal/study"
	"concord/internal/train"
)

// lockFile pins, in the comparison's folder, the settings that its runs have in common.
const lockFile = "compare.lock.json"

// lock is a comparison's lock file.
type lock struct {
	Version train.Version `json:"version"`
	RunFile string        `json:"run_file"` // absolute
	Grid    Grid          `json:"grid"`
	// Examples are the held-out examples of each language's half that every run measures, as
	// eval.error took them; 0: it is not set, or nothing is measured yet.
	Examples int `json:"examples,omitempty"`
	study.Pinned
}

// free are the settings that a comparison sets itself or that change nothing of
// the results.
var free = []string{"run.name", "run.dir", "objective.method", "objective.scope", "objective.control", "optim.lr", "data.temperature",
	"log.", "checkpoint."}

// newLock pins the run file's settings and the files it names.
func newLock(run train.Varied, g Grid) (*lock, error) {
	pinned, err := study.Pin(run, free)
	return &lock{Version: train.BuildVersion(), RunFile: absolute(run.File()), Grid: g, Pinned: pinned}, err
}

// readLock reads the lock of the comparison in dir; nil where there is none.
func readLock(dir string) (*lock, error) {
	l := &lock{}
	if there, err := study.ReadLock(filepath.Join(dir, lockFile), l); err != nil || !there {
		return nil, err
	}
	return l, nil
}

func (l *lock) write(dir string) error { return study.WriteLock(filepath.Join(dir, lockFile), l) }

// continues checks that now, the lock that this process would write, goes on with the one that l
// has pinned, and names the change if not. Nothing is wrong with another
// version of the program as long as no run is missing.
func (l *lock) continues(now *lock, dir string) error {
	changes := l.Changes(now.Pinned)
	if len(changes) == 0 {
		return nil
	}
	return &fault.Usage{Where: filepath.Join(dir, lockFile), Msg: "the runs there were made with other settings: " +
		strings.Join(changes, "; "), Fix: "undo the change, or compare into another folder with --out"}
}

// sameVersion refuses to add runs of another version of the program.
func (l *lock) sameVersion(now train.Version, dir string, missing int) error {
	if missing == 0 || l.Version.Version == now.Version {
		return nil
	}
	return &fault.Usage{Where: filepath.Join(dir, lockFile),
		Msg: fmt.Sprintf("the runs there were made by version %s, this is %s: %d runs are missing and would not compare", l.Version.Version,
			now.Version, missing), Fix: "that version, or another folder with --out"}
}
