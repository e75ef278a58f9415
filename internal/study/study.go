// Package study has the parts that a study of many runs, a comparison or an audit, does besides its
// question: it pins in its folder the settings that the runs have in common, names their folders, and
// says their common warnings once.
package study

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"

	"concord/internal/safetensors"
	"concord/internal/train"
)

// Pinned has the settings and files that the runs of a study have in common.
type Pinned struct {
	Settings map[string]any    `json:"settings"` // the run file's with overrides, by key
	Files    map[string]string `json:"files"`    // SHA-256 by name in the run file

	usual map[string]any // the settings' values where a run file does not name them; only Pin's have them
}

// Pin takes a run file's settings and the hashes of the files it names. free are the settings
// that the study sets itself or that change nothing of the results, a section as "section.".
func Pin(run train.Varied, free []string) (Pinned, error) {
	files, err := run.Hashes()
	if err != nil {
		return Pinned{}, err
	}
	settings, usual := map[string]any{}, map[string]any{}
	for key, value := range run.Values() {
		if slices.ContainsFunc(free, func(f string) bool { return key == f || strings.HasSuffix(f, ".") && strings.HasPrefix(key, f) }) {
			continue
		}
		settings[key] = value
		if v, known := run.Usual(key); known {
			usual[key] = v
		}
	}
	p := Pinned{Files: files}
	if p.Settings, err = asRead(settings); err == nil {
		p.usual, err = asRead(usual)
	}
	return p, err
}

// asRead are values as they are read back from a file, so that they compare with such.
func asRead(values map[string]any) (out map[string]any, err error) {
	b, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(b, &out)
	return out, err
}

// mostChanges is how many changes are named.
const mostChanges = 5

// Changes names the settings and files in which now, which Pin has made, differs from p, for
// people. A setting that p does not name, as it is newer, was at its usual value.
func (p Pinned) Changes(now Pinned) []string {
	var out []string
	for _, k := range keys(p.Settings, now.Settings) {
		a, named := p.Settings[k]
		if !named {
			a = now.usual[k]
		}
		if b := now.Settings[k]; !reflect.DeepEqual(a, b) {
			out = append(out, fmt.Sprintf("%s was %s and is %s", k, shown(a), shown(b)))
		}
	}
	for _, k := range keys(p.Files, now.Files) {
		if p.Files[k] != now.Files[k] {
			out = append(out, k+" has changed")
		}
	}
	if n := len(out); n > mostChanges {
		out = append(out[:mostChanges], fmt.Sprintf("and %d more", n-mostChanges))
	}
	return out
}

func keys[V any](a, b map[string]V) []string {
	return slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, m := range []map[string]V{a, b} {
			for k := range maps.Keys(m) {
				if !yield(k) {
					return
				}
			}
		}
	}))
}

// shown is a setting's value for people; one that is empty has quotes.
func shown(v any) string {
	switch v {
	case nil:
		return "not set"
	case "":
		return `""`
	}
	return fmt.Sprint(v)
}

// ReadLock reads the lock file at path into v; false where there is none.
func ReadLock(path string, v any) (bool, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, train.DataError(err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, train.DataError(fmt.Errorf("%s: %w", path, err))
	}
	return true, nil
}

// WriteLock writes v to the lock file at path, whole or not at all.
func WriteLock(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return train.DataError(safetensors.WriteFile(path, append(b, '\n')))
}

// Slug keeps lower-case letters, digits and dots of s and makes the rest hyphens.
func Slug(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
}

// Once passes a line on the first time only: every run warns of the same. It is safe for
// concurrent use.
type Once struct {
	W      io.Writer // nil: nothing is passed on
	Before func()    // called before a line is passed on; may be nil

	mu   sync.Mutex
	seen map[string]bool
}

// Write implements io.Writer; b is a line.
func (o *Once) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.W == nil || o.seen[string(b)] {
		return len(b), nil
	}
	if o.seen == nil {
		o.seen = map[string]bool{}
	}
	o.seen[string(b)] = true
	if o.Before != nil {
		o.Before()
	}
	return o.W.Write(b)
}

// SayPatience warns that early stopping ends none of the runs of a study, "comparison" or
// "audit": they read equally much, or their figures could not be compared.
func SayPatience(warn io.Writer, run train.Varied, study string) {
	if n := run.Eval.Patience; n > 0 {
		fmt.Fprintf(warn, "concord: %s: eval.patience = %d ends no run of this %s: all of them are equally long, so that they can be compared\n",
			run.Where("eval.patience"), n, study)
	}
}
