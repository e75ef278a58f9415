package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"concord/internal/compare"
	"concord/internal/safetensors"
	"concord/internal/study"
	"concord/internal/train"
)

// Controls are audits whose outcome is known, made as the audit itself is: with the user's
// model, steps and rates.
const (
	positive = "positive control" // two constructed languages that must be found to be hurt
	negative = "negative control" // one language of the user's, divided in two, which must not
	remedial = "remedy control"   // one language against several: resolving must help it (minority.go)
)

// control is data of its own.
type control struct {
	base    train.Varied
	langs   []string
	aligned bool // each prompt's answers in all languages are in one step
}

// langsOf are the trained languages of some data.
func (a *audit) langsOf(data string) []string {
	if c := a.controls[data]; c != nil {
		return c.langs
	}
	return a.langs
}

// baseOf is the configuration that a run's is made from.
func (a *audit) baseOf(s Spec) train.Varied {
	if c := a.controls[s.Data]; c != nil {
		return c.base
	}
	return a.base
}

// makeControls writes the controls' data below the audit's folder.
func (a *audit) makeControls() error {
	a.controls = map[string]*control{}
	for name, make := range map[string]func(dir string) (*control, error){positive: a.makePositive, negative: a.makeNegative,
		remedial: a.makeMinority} {
		dir := filepath.Join(a.out, "data", study.Slug(name))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return train.DataError(err)
		}
		c, err := make(dir)
		if err != nil {
			return err
		}
		if c == nil {
			continue
		}
		c.base.Data.Align, c.base.Data.Temperature, c.base.Data.MaxRepeat, c.base.Objective.Preferences = "", 1e9, 0, nil
		if c.aligned {
			c.base.Data.Align, c.base.Data.Temperature, c.base.Data.IID = train.AlignKey, 1, false
		}
		a.controls[name] = c
	}
	return nil
}

// makePositive makes two languages that have the same prompts with contradictory answers, and
// nothing that tells them apart: alone each is learnt in a few steps, and a mixture can at
// best be right half of the time.
func (a *audit) makePositive(dir string) (*control, error) {
	c := &control{base: a.base, langs: []string{"one", "its opposite"}}
	c.base.Data.Sources = nil
	for i, answer := range []string{" wxyz", " stuv"} {
		lang := c.langs[i]
		for _, part := range []struct {
			name     string
			from, to int
		}{{"train", 0, 400}, {"heldout", 400, 440}} {
			path := filepath.Join(dir, lang+"."+part.name+".jsonl")
			if err := safetensors.WriteFile(path, pairs(part.from, part.to, answer)); err != nil {
				return nil, train.DataError(err)
			}
		}
		c.base.Data.Sources = append(c.base.Data.Sources, fileSource(dir, lang))
	}
	return c, nil
}

// fileSource is a source of files that makePositive or makeNegative has written.
func fileSource(dir, lang string) train.Source {
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	return train.Source{Lang: lang, Train: true, Path: []string{filepath.Join(abs, lang+".train.jsonl")},
		Heldout: []string{filepath.Join(abs, lang+".heldout.jsonl")}}
}

// pairs are the prompts of some numbers, as JSON lines with an answer. A number's prompt is
// the same in all languages.
func pairs(from, to int, answer string) []byte {
	var b bytes.Buffer
	for i := from; i < to; i++ {
		k := uint64(i)*2654435761 + 97
		prompt := string([]byte{byte('a' + k%13), byte('a' + k/13%13), byte('a' + k/169%13), ':'})
		line, err := json.Marshal(map[string]string{"prompt": prompt, "completion": answer, "key": prompt})
		if err != nil {
			panic(err) // strings
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes()
}

// makeNegative divides the language with the most data in two, document by document.
func (a *audit) makeNegative(dir string) (*control, error) {
	most := 0
	for i := range a.tokens {
		if a.tokens[i] > a.tokens[most] {
			most = i
		}
	}
	c := &control{base: a.base, langs: []string{"first half", "second half"}}
	c.base.Data.Sources = nil
	var train_, held []string
	for _, s := range a.base.Data.Sources {
		switch s.Lang {
		case a.langs[most]:
			train_, held = append(train_, s.Path...), append(held, s.Heldout...)
		case a.langs[most] + compare.TestSuffix:
			held = append(held, s.Heldout...)
		}
	}
	for half, lang := range c.langs {
		for name, paths := range map[string][]string{"train": train_, "heldout": held} {
			text, err := everyOther(paths, half)
			if err == nil {
				err = safetensors.WriteFile(filepath.Join(dir, lang+"."+name+".jsonl"), text)
			}
			if err != nil {
				return nil, train.DataError(err)
			}
		}
		c.base.Data.Sources = append(c.base.Data.Sources, fileSource(dir, lang))
	}
	return c, nil
}

// everyOther is every other line of some files, from the first or the second on.
func everyOther(paths []string, from int) ([]byte, error) {
	var out bytes.Buffer
	n := 0
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return nil, err
		}
		r := bufio.NewReader(f)
		for {
			line, err := r.ReadBytes('\n')
			if len(line) > 0 && n%2 == from {
				out.Write(line)
			}
			if n++; err == io.EOF {
				break
			}
			if err != nil {
				f.Close()
				return nil, err
			}
		}
		f.Close()
	}
	return out.Bytes(), nil
}

// nextControl is the next run of a control.
func (a *audit) nextControl() (Spec, bool) {
	for _, data := range []string{positive, negative} {
		if s, ok := a.missing(a.tuning(data)); ok {
			return s, true
		}
		if s, ok := a.missing(a.judging(data, 0, fewestSeeds)); ok {
			return s, true
		}
	}
	return a.nextMinority()
}

// Control is the outcome of a control.
type Control struct {
	Name string `json:"name"`
	Pass *bool  `json:"pass"` // null: not finished
	Text string `json:"text"`
}

// controlFindings tells the outcome of the controls.
func (a *audit) controlFindings() (out []Control) {
	if a.controls == nil {
		return nil
	}
	return []Control{
		a.controlFinding(positive, "two languages with the same prompts and contradictory answers must both be found to be hurt",
			func(v Verdict) bool { return v == Hurt },
			fmt.Sprintf("runs of %d steps cannot see even that (--steps, --budget)", a.plan.Steps)),
		a.controlFinding(negative, "one language divided in two must not be found to be hurt by itself",
			func(v Verdict) bool { return v != Hurt },
			"what is found to be hurt by little may be chance or slowness"),
		a.remedyControl(),
	}
}

// controlFinding is one control's: every language's verdict must be right.
func (a *audit) controlFinding(name, what string, right func(Verdict) bool, otherwise string) Control {
	c := Control{Name: name}
	pass := true
	var parts []string
	for _, f := range a.interference(name) {
		if f.Effect.N < fewestSeeds {
			c.Text = fmt.Sprintf("not finished: %d of %d seeds", f.Effect.N, fewestSeeds)
			return c
		}
		parts = append(parts, fmt.Sprintf("%s %s (%s)", f.Lang, f.Effect, f.Verdict))
		pass = pass && right(f.Verdict)
	}
	c.Pass = &pass
	c.Text = what + ": mixture − alone, in bits per byte, " + strings.Join(parts, ", ")
	if !pass {
		c.Text += "; " + otherwise
	}
	return c
}
