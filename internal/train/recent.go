package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"

	"concord/internal/report"
)

// Of equal machines the one that leads records each step as soon as it is committed.
// When another takes over, the steps between are in the memory of every machine that
// made them: so the record has each step once, under any leader.

// keepRecent is how many steps a machine remembers; its successors lack one or two.
const keepRecent = 16

// recentSteps are the latest steps of a machine among many; nil on one.
type recentSteps struct{ steps []report.Step }

// remember keeps a step for the record. Steps that are done again replace themselves and
// those after them.
func (x *recentSteps) remember(r report.Step) {
	if x == nil {
		return
	}
	r.Kind = "step"
	x.steps = slices.DeleteFunc(x.steps, func(old report.Step) bool { return old.Step >= r.Step })
	x.steps = append(x.steps[max(0, len(x.steps)+1-keepRecent):], r)
}

// recall remembers the steps after step that are on record at path: a machine that leads
// with earlier weights has the record cut there, and then fetches the later ones.
func (x *recentSteps) recall(path string, step int) error {
	recorded, _, err := stepsOnRecord(path)
	for _, r := range recorded {
		if r.Step > step {
			x.steps = append(slices.DeleteFunc(x.steps, func(old report.Step) bool { return old.Step == r.Step }), r)
		}
	}
	return err
}

// fillRecord adds the remembered steps up to step that the record at path lacks.
func (x *recentSteps) fillRecord(path string, step int) error {
	recorded, whole, err := stepsOnRecord(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if !whole { // the last line was cut short
		if _, err := f.WriteString("\n"); err != nil {
			return err
		}
	}
	for _, r := range x.steps {
		there := slices.ContainsFunc(recorded, func(old report.Step) bool { return old.Step == r.Step })
		if r.Step > step || there {
			continue
		}
		if err := report.WriteJSON(f, r); err != nil {
			return err
		}
	}
	return nil
}

// stepsOnRecord reads the steps of a record, and whether its last line is whole.
func stepsOnRecord(path string) (steps []report.Step, whole bool, err error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	for line := range bytes.Lines(b) {
		var r report.Step
		if json.Unmarshal(line, &r) == nil && r.Kind == "step" {
			steps = append(steps, r)
		}
	}
	return steps, len(b) == 0 || b[len(b)-1] == '\n', nil
}
