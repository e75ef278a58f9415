package train

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"concord/internal/chat"
	"concord/internal/config"
	"concord/internal/data"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/tokenizer"
)

// corpus is everything that comes from files and needs no GPU.
type corpus struct {
	model     model.Config
	tokenizer *tokenizer.Tokenizer
	template  *chat.Template // nil: conversations are refused
	sets      []*data.Set    // in the run file's order
	seen      []bool         // by set: trained on
	sampler   *data.Sampler
	drawn     map[string][]string // by language: notes on how it is drawn, for the user
	steps     int
}

// Tokenising, if not nil, is told every few seconds how many documents of a large file
// are read. The program sets it before anything else.
var Tokenising func(path string, documents int)

// openCorpus reads the model's configuration, the tokenizer and the data, and
// checks that they belong together.
func openCorpus(cfg *config.Config) (*corpus, error) {
	mc, tok, err := modeldir.Open(cfg.Resolve(cfg.Model.Path))
	if err != nil {
		return nil, err
	}
	if cfg.Adapted() {
		if mc.Adapter, err = adapterOf(cfg); err != nil {
			return nil, err
		}
	}
	c := &corpus{model: mc, tokenizer: tok}
	sources := make([]data.Source, len(cfg.Data.Source))
	for i, s := range cfg.Data.Source {
		sources[i] = Source(cfg, s)
	}
	if c.template, err = openTemplate(cfg); err != nil {
		return nil, err
	}
	c.sets, err = data.LoadAll(sources, tok, c.dataOptions(cfg))
	if err != nil {
		return nil, DataError(err)
	}
	for _, set := range c.sets {
		c.seen = append(c.seen, set.Train.Len() > 0)
	}
	c.sampler, err = data.NewSampler(c.sets, c.samplerOptions(cfg))
	if err != nil {
		return nil, DataError(err)
	}
	if err := errors.Join(c.namedLanguages(cfg), c.canStopEarly(cfg)); err != nil {
		return nil, err
	}
	c.steps = numSteps(cfg, c.sampler)
	c.drawn = c.alignmentNotes()
	for m, n := range c.sampler.Capped() {
		if n > 0 {
			lang := c.sampler.Languages()[m]
			c.drawn[lang] = []string{fmt.Sprintf("at temperature %g it would be repeated %.0f times while all data is read once; "+
				"held to %g (data.max_repeat)", cfg.Data.Temperature, n, cfg.Data.MaxRepeat)}
		}
	}
	return c, nil
}

func (c *corpus) dataOptions(cfg *config.Config) data.Options {
	return data.Options{MaxLen: cfg.Data.MaxLen, Overlong: string(cfg.Data.Overlong), Template: c.template, Cache: tokenFolder(cfg),
		Progress: Tokenising}
}

func (*corpus) samplerOptions(cfg *config.Config) data.SamplerOptions {
	return data.SamplerOptions{Rows: cfg.Batch.Rows * cfg.Batch.Accumulate, SeqLen: cfg.Batch.SeqLen, Temperature: cfg.Data.Temperature,
		MaxRepeat: cfg.Data.MaxRepeat,
		Mixing:    string(cfg.Data.Mixing), Aligned: cfg.Data.Align != "", Seed: cfg.Run.Seed}
}

// alignmentNotes says, for every language whose examples are aligned, how many of them
// are used.
func (c *corpus) alignmentNotes() map[string][]string {
	out := map[string][]string{}
	a := c.sampler.Alignment()
	if a == nil {
		return out
	}
	langs := c.sampler.Languages()
	for m, lang := range langs {
		if len(langs) == 1 {
			return map[string][]string{lang: {"nothing is aligned: it is the only language that is trained on"}}
		}
		used := a.Shared - a.Long
		note := fmt.Sprintf("aligned: %d of its %d examples are trained on, in all %d languages together", used, a.Keys[m], len(langs))
		if lost := a.Keys[m] - a.Shared; lost > 0 {
			note += fmt.Sprintf("; %d have no translation in another language", lost)
		}
		if a.Long > 0 {
			note += fmt.Sprintf("; %d do not fit its rows of one step", a.Long)
		}
		out[lang] = []string{note}
	}
	return out
}

// namedLanguages checks that the objective names trained languages only; of a source
// with lang_column they are known when the data is read.
func (c *corpus) namedLanguages(cfg *config.Config) error {
	trained := c.sampler.Languages()
	for key, byLang := range map[string]map[string]float64{"objective.weights.": cfg.Objective.Weights,
		"objective.preferences.": cfg.Objective.Preferences} {
		for lang := range byLang {
			if !slices.Contains(trained, lang) {
				return &config.Error{Where: cfg.Where(key + lang), Msg: fmt.Sprintf("%s%s: not a trained language; these are: %s", key, lang,
					strings.Join(trained, ", ")), Fix: "name a trained language"}
			}
		}
	}
	return nil
}

// Source is the data of a source of the run file.
func Source(cfg *config.Config, s config.Source) data.Source {
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

// trainTokens is the supervised training tokens of langs.
func (c *corpus) trainTokens(langs []string) []float64 {
	out := make([]float64, len(langs))
	for i, l := range langs {
		for _, s := range c.sets {
			if s.Lang == l {
				out[i] += float64(s.TrainStats.Supervised)
			}
		}
	}
	return out
}

// numSteps is the run's length from the one of steps, epochs, tokens that is given.
func numSteps(cfg *config.Config, s *data.Sampler) int {
	switch sc := cfg.Schedule; {
	case sc.Steps > 0:
		return sc.Steps
	case sc.Epochs > 0:
		return max(1, int(math.Ceil(sc.Epochs*s.StepsPerEpoch())))
	default:
		want := float64(sc.Tokens)
		n := max(1, int(want/float64(cfg.Batch.Rows*cfg.Batch.Accumulate*cfg.Batch.SeqLen))) // if no row had padding
		for n < math.MaxInt32 && s.TokensIn(n) < want {
			n += max(1, int((want-s.TokensIn(n))/s.TokensIn(n)*float64(n)/2))
		}
		return n
	}
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
