// Package rundir is the folder of a run: the names in it, which process may write to
// it, and which model it stands for. The content of the files is the business of the packages that
// write them.
package rundir

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/peft"
	"concord/internal/report"
)

// The names in a run's folder.
const (
	CheckpointFolder = "checkpoints"
	ModelFolder      = "model"      // the final model
	BestFolder       = "model-best" // the model of the best evaluation, where that was not the last
	LockFile         = "run.lock.json"
	MetricsFile      = "metrics.jsonl"
	ClusterFolder    = "cluster" // the state of a run on many machines besides its checkpoints
)

// IsRun says that dir is the folder of a run.
func IsRun(dir string) bool { return exists(filepath.Join(dir, LockFile)) }

// Metrics is the path of the records of the run in dir.
func Metrics(dir string) string { return filepath.Join(dir, MetricsFile) }

// Cluster is the cluster folder of the run in dir.
func Cluster(dir string) string { return filepath.Join(dir, ClusterFolder) }

// Checkpoints is the folder of the checkpoints of the run in dir.
func Checkpoints(dir string) string { return filepath.Join(dir, CheckpointFolder) }

// NotARun is the error for a folder that is not a run's. It names the runs nearby.
func NotARun(dir string) error {
	msg := fmt.Sprintf("is not the folder of a run (it has no %s)", LockFile)
	for _, folder := range []string{dir, filepath.Dir(dir)} {
		if known := runsIn(folder); known != "" {
			msg += "; runs here: " + known
			break
		}
	}
	return &fault.Usage{Where: dir, Msg: msg, Fix: "the folder that concord train printed, such as runs/NAME"}
}

// runsIn lists the runs in dir, for a helpful message.
func runsIn(dir string) string {
	found, _ := filepath.Glob(filepath.Join(dir, "*", LockFile)) // the pattern is fixed
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	slices.Sort(found)
	return strings.Join(found, ", ")
}

// ModelDir is the model folder, or the adapter's, that dir means: dir itself, or the
// final model of the run in dir. A run or a checkpoint without one is an error with the command
// that makes it.
func ModelDir(dir string) (string, error) {
	if exists(filepath.Join(dir, model.ConfigFile)) || peft.Is(dir) {
		return dir, nil
	}
	final := filepath.Join(dir, ModelFolder)
	if exists(filepath.Join(final, model.ConfigFile)) || peft.Is(final) {
		return final, nil
	}
	if IsRun(dir) {
		return "", fault.Data(fmt.Errorf("%s has no final model yet\n  fix: %s   makes one of its last checkpoint; or go on with: %s",
			dir, report.Command("export", dir), report.Command("resume", dir)))
	}
	if run, step, ok := checkpointOf(dir); ok {
		return "", fault.Data(fmt.Errorf("%s is a checkpoint, not a model folder\n  fix: %s   makes its model",
			dir, report.Command("export", run, "--checkpoint", strconv.Itoa(step))))
	}
	return dir, nil
}

// checkpointOf takes the path of a checkpoint apart: RUN/checkpoints/step-N.
func checkpointOf(dir string) (run string, step int, ok bool) {
	dir = filepath.Clean(dir)
	number, ok := strings.CutPrefix(filepath.Base(dir), "step-")
	folder := filepath.Dir(dir)
	run = filepath.Dir(folder)
	step, err := strconv.Atoi(number)
	return run, step, ok && err == nil && filepath.Base(folder) == CheckpointFolder && IsRun(run)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
