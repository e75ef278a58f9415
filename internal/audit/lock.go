package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"concord/internal/config"
	"concord/internal/model"
	"concord/internal/safetensors"
	"concord/internal/train"
)

// lockFile pins, in the audit's folder, what its runs have in common.
const lockFile = "audit.lock.json"

// lock is what the calls of one audit share.
type lock struct {
	Version     string            `json:"version"`
	Steps       int               `json:"steps"`     // of a run on all languages
	RunSteps    int               `json:"run_steps"` // of the run file's
	StepSeconds float64           `json:"step_seconds"`
	EvalSeconds float64           `json:"eval_seconds"`
	Hurt        []string          `json:"hurt,omitempty"` // the languages that remedies are tried for
	Settings    map[string]any    `json:"settings"`       // the run file's with overrides, by key
	Files       map[string]string `json:"files"`          // SHA-256 by name in the run file
}

// free are settings that an audit sets itself, or that change nothing of what comes out.
var free = []string{"run.name", "run.dir", "objective.", "log.", "checkpoint.", "probe.", "cluster."}

// pin makes the lock, or takes the one that is there if it may be gone on with.
func (a *audit) pin(cfg *config.Config, runSteps int) error {
	a.lr = cfg.Optim.LR
	if mc, err := model.ReadConfig(cfg.Resolve(cfg.Model.Path)); err == nil { // of another form: no layers are frozen
		a.params, a.layers = model.ParamSpecs(mc), mc.Layers
	}
	var err error
	now := lock{Version: train.BuildVersion().Version, RunSteps: runSteps, Settings: map[string]any{}}
	if now.Files, err = train.Hashes(cfg); err != nil {
		return err
	}
	for _, v := range cfg.Values() {
		if !slices.ContainsFunc(free, func(f string) bool { return v.Key == f || strings.HasSuffix(f, ".") && strings.HasPrefix(v.Key, f) }) {
			now.Settings[v.Key] = v.Value
		}
	}
	b, err := json.Marshal(now) // so that it compares with what is read back
	if err != nil {
		return err
	}
	now = lock{}
	if err := json.Unmarshal(b, &now); err != nil {
		return err
	}
	path := filepath.Join(a.out, lockFile)
	before := lock{}
	switch b, err := os.ReadFile(path); {
	case errors.Is(err, os.ErrNotExist):
		a.plan = now
		return nil
	case err != nil:
		return train.DataError(err)
	default:
		if err := json.Unmarshal(b, &before); err != nil {
			return train.DataError(fmt.Errorf("%s: %w", path, err))
		}
	}
	if err := before.continues(now, path); err != nil {
		return err
	}
	if a.o.Steps > 0 && before.Steps > 0 && a.o.Steps != before.Steps {
		return &config.Error{Where: path, Msg: fmt.Sprintf("the runs there have %d steps, and --steps asks for %d", before.Steps, a.o.Steps),
			Fix: "leave out --steps, or audit into another folder with --out"}
	}
	a.plan = before
	return nil
}

// continues refuses to go on with runs of other settings, files or versions.
func (l lock) continues(now lock, path string) error {
	var changes []string
	if l.Version != now.Version {
		changes = append(changes, fmt.Sprintf("they are of version %s, this is %s", l.Version, now.Version))
	}
	keys := map[string]bool{}
	for k := range l.Settings {
		keys[k] = true
	}
	for k := range now.Settings {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if x, y := l.Settings[k], now.Settings[k]; !reflect.DeepEqual(x, y) {
			changes = append(changes, fmt.Sprintf("%s was %s and is %s", k, shown(x), shown(y)))
		}
	}
	if !maps.Equal(l.Files, now.Files) {
		changes = append(changes, "a file of the model or the data has changed")
	}
	if len(changes) == 0 {
		return nil
	}
	return &config.Error{Where: path, Msg: "the runs there do not go together with this run file: " + strings.Join(changes, "; "),
		Fix: "undo the change, or audit into another folder with --out"}
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

func (l lock) write(dir string) error {
	b, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return err
	}
	return train.DataError(safetensors.WriteFile(filepath.Join(dir, lockFile), append(b, '\n')))
}
