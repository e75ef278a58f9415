// Package corpus is everything of a run that comes from files and needs no device: the base
// model's configuration, the tokenizer, the chat template, the examples of every language
// and the rows that steps draw from them; and the warnings about it before a run.
package corpus

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"concord/internal/chat"
	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/peft"
	"concord/internal/tokenizer"
)

// Options are the settings of a corpus.
type Options struct {
	Model    string       // the base model: a folder or a GGUF file
	Folder   string       // of its small files
	Adapter  *peft.Config // that the run trains; nil for none
	Sources  []data.Source
	Template string // chat template: "" is the model's own, chat.ChatMLName, or a file
	MaxLen   int    // see data.Options
	Overlong string
	Cache    string // folder for the tokens of large files
	Progress func(path string, documents int)
	Sampler  data.SamplerOptions
	Length   Length
	Named    map[string][]string // by setting: the languages that it names; all must be trained
	Patience bool                // the run may end early, by its evaluations
}

// Length is a run's: the first of these that is above 0.
type Length struct {
	Steps  int
	Epochs float64 // passes over all data
	Tokens int64
}

// Corpus is a run's. It is not changed after Open; copies share everything but the fields.
type Corpus struct {
	Model     model.Config
	Tokenizer *tokenizer.Tokenizer
	Template  *chat.Template // nil: conversations are refused
	Sets      []*data.Set    // in the order of the sources
	Seen      []bool         // by set: trained on
	Sampler   *data.Sampler
	Steps     int // of the run

	options Options
	drawn   map[string][]string // by language: notes on how it is drawn, for the user
}

// Open reads the model's configuration, the tokenizer and the data, and checks that they
// belong together. Errors are fault.Data, or a *fault.Setting.
func Open(o Options) (*Corpus, error) {
	mc, tok, err := modeldir.Open(o.Model)
	if err != nil {
		return nil, err
	}
	mc.Adapter = o.Adapter
	c := &Corpus{Model: mc, Tokenizer: tok, options: o}
	if c.Template, err = chat.Open(o.Template, o.Folder); err != nil {
		return nil, fault.Data(err)
	}
	if c.Sets, err = data.LoadAll(o.Sources, tok, c.dataOptions()); err != nil {
		return nil, fault.Data(err)
	}
	for _, set := range c.Sets {
		c.Seen = append(c.Seen, set.Train.Len() > 0)
	}
	if c.Sampler, err = data.NewSampler(c.Sets, o.Sampler); err != nil {
		return nil, fault.Data(err)
	}
	if err := c.namedLanguages(); err != nil {
		return nil, err
	}
	if err := c.canStopEarly(); err != nil {
		return nil, err
	}
	c.Steps = o.Length.steps(c.Sampler, o.Sampler)
	c.drawn = c.alignmentNotes()
	for m, n := range c.Sampler.Capped() {
		if n > 0 {
			lang := c.Sampler.Languages()[m]
			c.drawn[lang] = []string{fmt.Sprintf("at temperature %g it would be repeated %.0f times while all data is read once; "+
				"held to %g (data.max_repeat)", o.Sampler.Temperature, n, o.Sampler.MaxRepeat)}
		}
	}
	return c, nil
}

// Resampled is the corpus with batches of another shape. The length of the run stays.
func (c *Corpus) Resampled(o data.SamplerOptions) (*Corpus, error) {
	out := *c
	var err error
	if out.Sampler, err = data.NewSampler(c.Sets, o); err != nil {
		return nil, fault.Data(err)
	}
	out.options.Sampler = o
	return &out, nil
}

func (c *Corpus) dataOptions() data.Options {
	o := c.options
	return data.Options{MaxLen: o.MaxLen, Overlong: o.Overlong, Template: c.Template, Cache: o.Cache, Progress: o.Progress}
}

// alignmentNotes says, for every language whose examples are aligned, how many of them
// are used.
func (c *Corpus) alignmentNotes() map[string][]string {
	out := map[string][]string{}
	a := c.Sampler.Alignment()
	if a == nil {
		return out
	}
	langs := c.Sampler.Languages()
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

// namedLanguages checks that the settings name trained languages only; of a source with a
// language column they are known when the data is read.
func (c *Corpus) namedLanguages() error {
	trained := c.Sampler.Languages()
	for _, setting := range slices.Sorted(maps.Keys(c.options.Named)) {
		for _, lang := range c.options.Named[setting] {
			if !slices.Contains(trained, lang) {
				key := setting + "." + lang
				return &fault.Setting{Key: key, Msg: fmt.Sprintf("%s: not a trained language; these are: %s", key, strings.Join(trained, ", ")),
					Fix: "name a trained language"}
			}
		}
	}
	return nil
}

// TrainTokens are the supervised training tokens of each of langs.
func (c *Corpus) TrainTokens(langs []string) []float64 {
	out := make([]float64, len(langs))
	for i, l := range langs {
		for _, s := range c.Sets {
			if s.Lang == l {
				out[i] += float64(s.TrainStats.Supervised)
			}
		}
	}
	return out
}

// steps is the number of steps of a run of this length with batches of such a shape.
func (l Length) steps(s *data.Sampler, batch data.SamplerOptions) int {
	switch {
	case l.Steps > 0:
		return l.Steps
	case l.Epochs > 0:
		return max(1, int(math.Ceil(l.Epochs*s.StepsPerEpoch())))
	default:
		want := float64(l.Tokens)
		n := max(1, int(want/float64(batch.Rows*batch.SeqLen))) // if no row had padding
		for n < math.MaxInt32 && s.TokensIn(n) < want {
			n += max(1, int((want-s.TokensIn(n))/s.TokensIn(n)*float64(n)/2))
		}
		return n
	}
}

// canStopEarly refuses to wait for a lower figure where there is none.
func (c *Corpus) canStopEarly() error {
	if !c.options.Patience {
		return nil
	}
	for i, s := range c.Sets {
		if c.Seen[i] && s.Heldout.Len() > 0 {
			return nil
		}
	}
	return &fault.Setting{Key: "eval.patience",
		Msg: "eval.patience: no trained language has held-out examples, so nothing is measured that could end the run",
		Fix: "holdout = 0.05  # in [[data.source]]"}
}
