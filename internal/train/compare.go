package train

import (
	"io"
	"path/filepath"
	"slices"

	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/objective"
)

// What internal/compare needs of a run beyond Run, Resume and Check.

// Occupy makes this process the only one that writes to dir, which exists,
// until release is called; another process that tries is refused with the first
// one's number. warn is told where the file system has no locks.
func Occupy(dir string, warn io.Writer) (release func(), err error) { return occupy(dir, warn) }

// Resumable reports whether the run in dir has a checkpoint to continue from.
func Resumable(dir string) bool {
	_, _, _, err := checkpoint.Latest(filepath.Join(dir, checkpointFolder))
	return err == nil && exists(filepath.Join(dir, lockFile))
}

// Leftovers are the folders of a finished run that hold models and optimizer
// states; with the final model's first. Metrics and the lock are not among them.
func Leftovers(dir string) (model string, rest []string) {
	return filepath.Join(dir, modelFolder), []string{filepath.Join(dir, checkpointFolder), filepath.Join(dir, bestFolder)}
}

// Metrics is the path of the metrics of the run in dir.
func Metrics(dir string) string { return filepath.Join(dir, metricsFile) }

// Hashes are the SHA-256 of every file that decides what a run comes to, by its
// name in the run file: those that a run's lock has and the base model's weights.
func Hashes(cfg *config.Config) (map[string]string, error) {
	l, err := newLock(cfg, "")
	if err != nil || cfg.Model.Init == "random" {
		return l.Files, err
	}
	weights, _ := filepath.Glob(filepath.Join(cfg.Resolve(cfg.Model.Path), "*.safetensors")) // the pattern is fixed
	for _, p := range weights {
		h, _, err := hashFile(p)
		if err != nil {
			return nil, DataError(err)
		}
		l.Files[filepath.ToSlash(filepath.Join(cfg.Model.Path, filepath.Base(p)))] = h
	}
	return l.Files, nil
}

// CheckObjective checks [objective] for the languages trained on, as Run does.
func CheckObjective(cfg *config.Config, langs []string) error {
	_, err := objective.New(cfg, langs, slices.Repeat([]float64{1}, len(langs)), cfg.Clustered())
	return err
}
