package train

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"concord/internal/config"
	"concord/internal/model"
	"concord/internal/peft"
	"concord/internal/safetensors"
)

// adapterOf is the adapter that the run trains.
func adapterOf(cfg *config.Config) (*peft.Config, error) {
	a := cfg.Adapter
	if a.From != "" {
		c, err := peft.ReadConfig(cfg.Resolve(a.From))
		if err != nil {
			return nil, DataError(err)
		}
		c.Base = mustAbs(cfg.Resolve(cfg.Model.Path))
		return c, nil
	}
	return &peft.Config{Rank: a.Rank, Alpha: a.Alpha, RankStabilised: a.Kind == config.RSLoRA,
		Targets: a.Targets, Save: a.Save, DoRA: a.DoRA, Dropout: a.Dropout, Tied: true, Layers: a.Layers, RankPattern: a.RankPattern,
		AlphaPattern: a.AlphaPattern,
		Base:         mustAbs(cfg.Resolve(cfg.Model.Path))}, nil
}

// HasAdapter says that the run in dir trains an adapter.
func HasAdapter(dir string) (bool, error) {
	l, err := readLock(dir)
	return err == nil && l.Config.Adapted(), err
}

// portableAdapter is the run's [adapter] for another machine: it gets the weights from
// machine 1, not from files.
func portableAdapter(cfg *config.Config) config.Adapter {
	c, err := adapterOf(cfg)
	if cfg.Adapter.From == "" || err != nil { // the run could not have begun
		return cfg.Adapter
	}
	kind := config.LoRA
	if c.RankStabilised {
		kind = config.RSLoRA
	}
	return config.Adapter{Kind: kind, Rank: c.Rank, Alpha: c.Alpha, Targets: c.Targets, Save: c.Save, DoRA: c.DoRA,
		Dropout: c.Dropout, RankPattern: c.RankPattern, AlphaPattern: c.AlphaPattern}
}

// weightFiles are the files of the base model's weights, where the run keeps them.
func weightFiles(cfg *config.Config) []inputFile {
	path := cfg.Resolve(cfg.Model.Path)
	switch {
	case !cfg.KeepsBase() || cfg.Model.Init == config.InitRandom:
		return nil
	case model.IsGGUF(path):
		return []inputFile{{name: portableGGUF, path: path}}
	}
	found, _ := filepath.Glob(filepath.Join(path, "*.safetensors")) // the pattern is fixed
	if index := filepath.Join(path, safetensors.IndexFile); exists(index) {
		found = append(found, index)
	}
	slices.Sort(found)
	var out []inputFile
	for _, f := range found {
		out = append(out, inputFile{name: filepath.Base(f), path: f})
	}
	return out
}

// portableGGUF is a base model's GGUF file as the other machines know it.
const portableGGUF = "base.gguf"

// adapterFiles are the files of the adapter that the run's own begins with.
func adapterFiles(cfg *config.Config) []inputFile {
	from := cfg.Adapter.From
	if from == "" {
		return nil
	}
	var out []inputFile
	for _, f := range []string{peft.ConfigFile, peft.WeightsFile} {
		out = append(out, inputFile{name: filepath.ToSlash(filepath.Join(from, f)), path: filepath.Join(cfg.Resolve(from), f)})
	}
	return out
}

// hashWeights is the content of the base model's weights by file, where the run keeps
// them.
func hashWeights(cfg *config.Config) (map[string]string, error) {
	out := map[string]string{}
	for _, f := range weightFiles(cfg) {
		hash, _, err := hashFile(f.path)
		if err != nil {
			return nil, DataError(err)
		}
		out[f.name] = hash
	}
	return out, nil
}

// checkWeights compares the base model's weights with those of the start.
func (l lock) checkWeights(cfg *config.Config) error {
	if len(l.Weights) == 0 && !cfg.Adapted() { // nothing is frozen, or its checkpoints have the frozen weights
		return nil
	}
	for _, f := range weightFiles(cfg) {
		hash, _, err := hashFile(f.path)
		if err != nil {
			return DataError(err)
		}
		if hash != l.Weights[f.name] {
			return DataError(fmt.Errorf("%s has changed since the run was started: its adapter, or its frozen parameters, are of the "+
				"weights that were there; restore the file or start a new run", f.path))
		}
	}
	if len(l.Weights) > 0 && len(weightFiles(cfg)) != len(l.Weights) {
		return DataError(fmt.Errorf("%s: of the %d files of weights that were there when the run was started: %w",
			cfg.Resolve(cfg.Model.Path), len(l.Weights), fs.ErrNotExist))
	}
	return nil
}
