package train

import (
	"path/filepath"
	"slices"

	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/model"
	"concord/internal/objective"
	"concord/internal/rundir"
)

// The functions that studies of many runs need beyond Varied, Run and Resume.

// Resumable reports whether the run in dir has a checkpoint to continue from.
func Resumable(dir string) bool {
	_, _, _, err := checkpoint.Latest(rundir.Checkpoints(dir))
	return err == nil && rundir.IsRun(dir)
}

// Leftovers are the folders of a finished run that hold models and optimizer
// states; with the final model's first. Metrics and the lock are not among them.
func Leftovers(dir string) (model string, rest []string) {
	return filepath.Join(dir, rundir.ModelFolder), []string{rundir.Checkpoints(dir), filepath.Join(dir, rundir.BestFolder)}
}

// hashes are those of Varied.Hashes.
func hashes(cfg *config.Config) (map[string]string, error) {
	l, err := newLock(cfg, "")
	if err != nil || cfg.Model.Init == config.InitRandom {
		return l.Files, err
	}
	base, folder := cfg.Resolve(cfg.Model.Path), cfg.Model.Path
	weights, _ := filepath.Glob(filepath.Join(base, "*.safetensors")) // the pattern is fixed
	if model.IsGGUF(base) {
		weights, folder = []string{base}, filepath.Dir(folder)
	}
	for _, p := range weights {
		h, _, err := hashFile(p)
		if err != nil {
			return nil, DataError(err)
		}
		l.Files[filepath.ToSlash(filepath.Join(folder, filepath.Base(p)))] = h
	}
	return l.Files, nil
}

// checkObjective checks [objective] for the languages trained on, as Run does.
func checkObjective(cfg *config.Config, langs []string) error {
	_, err := objective.New(objectiveOptions(cfg, langs, slices.Repeat([]float64{1}, len(langs))))
	return located(cfg, err)
}
