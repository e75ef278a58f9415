package moo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// entry is a method's documentation and constructor.
type entry struct {
	Info
	build func(v values) (Method, error) // v holds every option, checked
}

// registry is every method, one line each, in the order of the documentation.
func registry() []entry {
	return []entry{
		meanEntry(),
		sumEntry(),
		staticEntry(),
		tokenMeanEntry(),
		mgdaEntry(),
		cappedEntry(),
		pcgradEntry(),
		cagradEntry(),
		upgradEntry(),
		dualprojEntry(),
		gradvacEntry(),
		imtlGEntry(),
		nashEntry(),
		fairgradEntry(),
		alignedEntry(),
		configEntry(),
		dbMTLEntry(),
		gradnormEntry(),
		pcdEntry(),
		modoEntry(),
		sdmgradEntry(),
		excessmtlEntry(),
		randomEntry(),

		graddropEntry(),
		trimmedMeanEntry(),

		rlwEntry(),
		temperatureEntry(),
		dwaEntry(),
		uwEntry(),
		imtlLEntry(),
		glsEntry(),
		stchEntry(),
		famoEntry(),
		famoLaggedEntry(),
	}
}

// Info documents a method.
type Info struct {
	Name  string `json:"name"`
	Needs Needs  `json:"needs"`
	// UsesPreference says that the method has a meaning of its own for the
	// preference; Wrap gives the others one.
	UsesPreference bool `json:"uses_preference"`
	// UsesLosses says that the weights depend on the losses, which must be given then.
	UsesLosses bool `json:"uses_losses"`
	// SameBatch says that the losses must be those of the step's own batch, and that the
	// method learns from Before and After: two more forward passes a step.
	SameBatch  bool     `json:"same_batch,omitempty"`
	Rule       string   `json:"rule"`       // the update rule, in the package's notation
	Paper      string   `json:"paper"`      // where it comes from; empty for folklore
	Guarantees string   `json:"guarantees"` // properties that hold for every Gram, and those that do not
	Options    []Option `json:"options"`
}

// Methods documents every method that New knows.
func Methods() []Info {
	var out []Info
	for _, e := range registry() {
		e.Options = append([]Option{}, e.Options...) // [] in JSON, not null
		out = append(out, e.Info)
	}
	return out
}

// Lookup documents the named method; false when there is none.
func Lookup(name string) (Info, bool) {
	e, err := find(name)
	return e.Info, err == nil
}

// New makes the named method. Option values are numbers, strings or lists as a
// TOML file holds them, or text as a command line does ("0.5", "0.2,0.8"). A
// name, option, type or value that does not exist is an error that lists those
// that do.
func New(name string, options map[string]any) (Method, error) {
	e, err := find(name)
	if err != nil {
		return nil, err
	}
	v := values{}
	for _, o := range e.Options {
		v[o.Name] = o.Default
	}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		i := slices.IndexFunc(e.Options, func(o Option) bool { return o.Name == key })
		if i < 0 {
			return nil, fmt.Errorf("moo: %s: unknown option %q%s", name, key, e.optionHint(key))
		}
		if v[key], err = e.Options[i].parse(options[key]); err != nil {
			return nil, fmt.Errorf("moo: %s: option %q: %w", name, key, err)
		}
	}
	return e.build(v)
}

// ForTraining returns a copy of options in which the method, where it has a
// choice, works on the scale of a mean: M identical rows then give back exactly
// that row, so that the learning rate means the same under every method. An option that
// the user set stays.
func ForTraining(name string, options map[string]any) map[string]any {
	out := maps.Clone(options)
	if out == nil {
		out = map[string]any{}
	}
	e, err := find(name)
	if err != nil { // New will say so
		return out
	}
	knows := slices.ContainsFunc(e.Options, func(o Option) bool { return o.Name == rescaleName })
	if _, chosen := out[rescaleName]; knows && !chosen {
		out[rescaleName] = rescaleMean
	}
	return out
}

// find looks a method up by name.
func find(name string) (entry, error) {
	var names []string
	for _, e := range registry() {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return entry{}, fmt.Errorf("moo: unknown method %q%s; the methods are %s", name, didYouMean(name, names), strings.Join(names, ", "))
}

// optionHint says which options there are instead of key.
func (e entry) optionHint(key string) string {
	if len(e.Options) == 0 {
		return "; it has none"
	}
	var names []string
	for _, o := range e.Options {
		names = append(names, o.Name)
	}
	return didYouMean(key, names) + "; its options are " + strings.Join(names, ", ")
}

// didYouMean names the candidate closest to s, where one is close.
func didYouMean(s string, candidates []string) string {
	best, distance := "", 1+max(1, len(s)/3)
	for _, c := range candidates {
		if d := editDistance(strings.ToLower(s), c); d < distance {
			best, distance = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
