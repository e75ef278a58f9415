package train

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"concord/internal/config"
	"concord/internal/corpus"
	"concord/internal/data"
	"concord/internal/modeldir"
)

// Tokenising, if not nil, is told every few seconds how many documents of a large file
// are read. The program sets it before anything else.
var Tokenising func(path string, documents int)

// OpenCorpus reads the files of the run file, all but the weights, as a run would.
func OpenCorpus(cfg *config.Config) (*corpus.Corpus, error) {
	o, err := corpusOptions(cfg)
	if err != nil {
		return nil, err
	}
	c, err := corpus.Open(o)
	return c, located(cfg, err)
}

// corpusOptions are those of [model], [data] and [schedule], and of the settings that the
// data must fit.
func corpusOptions(cfg *config.Config) (corpus.Options, error) {
	o := corpus.Options{Model: cfg.Resolve(cfg.Model.Path), Folder: baseFolder(cfg), MaxLen: cfg.Data.MaxLen,
		Overlong: string(cfg.Data.Overlong),
		Cache:    tokenFolder(cfg), Progress: Tokenising, Sampler: samplerOptions(cfg), Patience: cfg.Eval.Patience > 0,
		Length: corpus.Length{Steps: cfg.Schedule.Steps, Epochs: cfg.Schedule.Epochs, Tokens: int64(cfg.Schedule.Tokens)},
		Named: map[string][]string{"objective.weights": slices.Sorted(maps.Keys(cfg.Objective.Weights)),
			"objective.preferences": slices.Sorted(maps.Keys(cfg.Objective.Preferences))}}
	for _, s := range cfg.Data.Source {
		o.Sources = append(o.Sources, sourceOf(cfg, s))
	}
	var err error
	if cfg.Adapted() {
		if o.Adapter, err = adapterOf(cfg); err != nil {
			return o, err
		}
	}
	o.Template, err = templateName(cfg)
	return o, err
}

func samplerOptions(cfg *config.Config) data.SamplerOptions {
	return data.SamplerOptions{Rows: cfg.Batch.Rows * cfg.Batch.Accumulate, SeqLen: cfg.Batch.SeqLen, Temperature: cfg.Data.Temperature,
		MaxRepeat: cfg.Data.MaxRepeat,
		Mixing:    string(cfg.Data.Mixing), Aligned: cfg.Data.Align != "", Seed: cfg.Run.Seed}
}

// StepsOf are the run's steps, for the warnings of its corpus.
func StepsOf(cfg *config.Config) corpus.Steps {
	s := corpus.Steps{Rows: cfg.Batch.Rows, Accumulate: cfg.Batch.Accumulate, Method: actingMethod(cfg), Outer: cfg.OuterSteps() > 0,
		RunFile: cfg.Path()}
	if cfg.Model.BaseType != config.BaseGGUF {
		s.BaseType = string(cfg.Model.BaseType)
	}
	if e := cfg.Model.EmbeddingType; e != "" && e != config.BaseF32 {
		s.BaseType = strings.TrimSpace(s.BaseType + " with embeddings in " + string(e))
	}
	return s
}

// sourceOf is the data of a source of the run file.
func sourceOf(cfg *config.Config, s config.Source) data.Source {
	return data.Source{Lang: s.Lang, Paths: cfg.ResolveAll(s.Path), Format: string(s.Format), Heldout: cfg.ResolveAll(s.Heldout),
		Holdout: s.Holdout, Train: s.Train, TrainOn: string(s.TrainOn),
		Columns: s.Columns, Roles: s.Roles, LangColumn: s.LangColumn, Langs: s.Langs, Key: alignKey(cfg, s), Aligned: cfg.Data.Align != ""}
}

// alignKey is the source's key.
func alignKey(cfg *config.Config, s config.Source) string {
	if cfg.Data.Align == config.AlignLine {
		return data.KeyLine
	}
	return s.Key
}

// tokenFolder is where the tokens of large files are kept, beside the runs.
func tokenFolder(cfg *config.Config) string {
	if cfg.Run.Dir == "" { // on a worker: beside the files that it has fetched
		return filepath.Join(filepath.Dir(cfg.Path()), "tokens")
	}
	return filepath.Join(cfg.Run.Dir, "tokens")
}

// baseFolder is the folder with the small files of the run's base model, which may be a
// GGUF file. Where that cannot be read the path itself is returned: opening the model says why.
func baseFolder(cfg *config.Config) string {
	path := cfg.Resolve(cfg.Model.Path)
	folder, err := modeldir.Folder(path)
	if err != nil {
		return path
	}
	return folder
}
