package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"concord/internal/compare"
	"concord/internal/config"
	"concord/internal/safetensors"
	"concord/internal/train"
)

// Controls are runs whose outcome is known, made as the audit's own are: with the user's
// model, steps and rate.
const (
	positive = "positive control" // two constructed languages of which a method must save one
	negative = "negative control" // one language of the user's, divided in two
)

// The languages of the positive control. They have the same prompts with contradictory
// answers and nothing that tells them apart. The quiet one's answer is followed by a long
// text that is always the same: soon only the answer's first tokens have a gradient, which
// counts a hundredth in the language's mean loss, so the loud one's gradients are many times
// as large.
const loud, quiet = "loud", "quiet"

// controlSeeds is the seeds of the positive control.
const controlSeeds = 4

// controlMethods must save the quiet language: they look at directions, not lengths.
var controlMethods = []string{"mgda by global", "imtl-g by global"}

// control is data of its own.
type control struct {
	base  *config.Config
	langs []string
}

// langsOf are the trained languages of some data.
func (a *audit) langsOf(data string) []string {
	if c := a.controls[data]; c != nil {
		return c.langs
	}
	return a.langs
}

// baseOf is the configuration that a run's is made from.
func (a *audit) baseOf(s Spec) *config.Config {
	if c := a.controls[s.Data]; c != nil {
		return c.base
	}
	return a.base
}

// makeControls writes the controls' data below the audit's folder.
func (a *audit) makeControls() error {
	a.controls = map[string]*control{}
	for name, make := range map[string]func(dir string) (*control, error){positive: a.makePositive, negative: a.makeNegative} {
		dir := filepath.Join(a.out, "data", slug(name))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return train.DataError(err)
		}
		c, err := make(dir)
		if err != nil {
			return err
		}
		c.base.Data.Align, c.base.Data.Temperature, c.base.Data.MaxRepeat, c.base.Objective.Preferences = "", 1e9, 0, nil
		a.controls[name] = c
	}
	return nil
}

func (a *audit) makePositive(dir string) (*control, error) {
	c := &control{base: clone(a.base), langs: []string{loud, quiet}}
	c.base.Data.Source = nil
	room := c.base.Batch.SeqLen
	if n := c.base.Data.MaxLen; n > 0 {
		room = min(room, n)
	}
	filler := strings.Repeat(" a b c d e f g h", 13)[:min(200, room/2)]
	for i, answer := range []string{" x", " y" + filler} {
		lang := c.langs[i]
		for _, part := range []struct {
			name     string
			from, to int
		}{{"train", 0, 400}, {"heldout", 400, 440}} {
			path := filepath.Join(dir, lang+"."+part.name+".jsonl")
			if err := safetensors.WriteFile(path, pairs(part.from, part.to, func(string) string { return answer })); err != nil {
				return nil, train.DataError(err)
			}
		}
		c.base.Data.Source = append(c.base.Data.Source, fileSource(dir, lang))
	}
	return c, nil
}

// fileSource is a source of files that makePositive or makeNegative has written.
func fileSource(dir, lang string) config.Source {
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	return config.Source{Lang: lang, Train: true, Path: config.Paths{filepath.Join(abs, lang+".train.jsonl")}, Heldout: config.Paths{filepath.Join(abs, lang+".heldout.jsonl")}}
}

// pairs are the prompts of some numbers, as JSON lines with an answer to each. A number's
// prompt is the same in all languages.
func pairs(from, to int, answer func(prompt string) string) []byte {
	var b bytes.Buffer
	for i := from; i < to; i++ {
		k := uint64(i)*2654435761 + 97
		prompt := string([]byte{byte('a' + k%13), byte('a' + k/13%13), byte('a' + k/169%13), ':'})
		line, err := json.Marshal(map[string]string{"prompt": prompt, "completion": answer(prompt)})
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
	c := &control{base: clone(a.base), langs: []string{"first half", "second half"}}
	c.base.Data.Source = nil
	var train_, held []string
	for _, s := range a.base.Data.Source {
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
		c.base.Data.Source = append(c.base.Data.Source, fileSource(dir, lang))
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
			if n++; err != nil {
				break // the end: the files were written a moment ago
			}
		}
		f.Close()
	}
	return out.Bytes(), nil
}

func clone(c *config.Config) *config.Config {
	out := *c
	out.Data.Source = slices.Clone(c.Data.Source)
	return &out
}

// nextControl is the next run of a control.
func (a *audit) nextControl() (Spec, bool) {
	var todo []Spec
	for i := range controlSeeds {
		for _, arm := range append([]string{armMixture}, controlMethods...) {
			todo = append(todo, Spec{Arm: arm, LR: a.lr, Seed: a.seed + 1 + uint64(i), Data: positive})
		}
	}
	if s, ok := a.missing(todo); ok {
		return s, true
	}
	if s, ok := a.missing(a.tuning(negative)); ok {
		return s, true
	}
	return a.missing(a.judging(negative, 0, fewestSeeds))
}

// Control is what a control showed.
type Control struct {
	Name string `json:"name"`
	Pass *bool  `json:"pass"` // null: not finished
	Text string `json:"text"`
}

// controlFindings tells what the controls showed.
func (a *audit) controlFindings() (out []Control) {
	if a.controls == nil {
		return nil
	}
	return []Control{a.positiveFinding(), a.negativeFinding()}
}

// fiveDeviations is how clearly a method must save the quiet language.
const fiveDeviations = 5

func (a *audit) positiveFinding() Control {
	c := Control{Name: positive}
	var parts []string
	pass := true
	for _, arm := range controlMethods {
		x := a.pairs(Spec{Arm: arm, LR: a.lr, Data: positive}, Spec{Arm: armMixture, LR: a.lr, Data: positive}, []string{quiet})
		if len(x) < controlSeeds {
			c.Text = fmt.Sprintf("not finished: %d of %d seeds", len(x), controlSeeds)
			return c
		}
		m, sd := meanSD(x)
		parts = append(parts, fmt.Sprintf("%s changes the quiet language by %+.4f bits per byte, %.1f standard deviations over %d seeds", arm, m, m/sd, len(x)))
		pass = pass && m < 0 && -m > fiveDeviations*sd
	}
	c.Pass = &pass
	c.Text = "two languages with the same prompts, contradictory answers and gradients of very different lengths: " + strings.Join(parts, "; ")
	if !pass {
		c.Text += fmt.Sprintf(". That should be more than %d: runs of %d steps at this learning rate are too short to see what resolving conflicts can do (--steps, --budget)", fiveDeviations, a.plan.Steps)
	}
	return c
}

func (a *audit) negativeFinding() Control {
	c := Control{Name: negative}
	found := a.interference(negative)
	var parts []string
	pass := true
	for _, f := range found {
		if f.Effect.N < fewestSeeds {
			c.Text = fmt.Sprintf("not finished: %d of %d seeds", f.Effect.N, fewestSeeds)
			return c
		}
		parts = append(parts, fmt.Sprintf("%s %s", f.Lang, f.Effect))
		pass = pass && f.Verdict != Hurt
	}
	c.Pass = &pass
	c.Text = "one language divided in two must not be hurt by itself: mixture against alone, in bits per byte, " + strings.Join(parts, ", ")
	return c
}
