package compare

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
	"concord/internal/safetensors"
	"concord/internal/train"
)

// lockFile pins, in the comparison's folder, the settings that its runs have in common.
const lockFile = "compare.lock.json"

// lock is a comparison's lock file.
type lock struct {
	Version  train.Version     `json:"version"`
	RunFile  string            `json:"run_file"` // absolute
	Grid     Grid              `json:"grid"`
	Settings map[string]any    `json:"settings"` // the run file's with overrides, by key
	Files    map[string]string `json:"files"`    // SHA-256 by name in the run file
}

// free are the settings that a comparison sets itself or that change nothing of
// the results.
var free = []string{"run.name", "run.dir", "objective.method", "objective.scope", "objective.control", "optim.lr", "data.temperature",
	"log.", "checkpoint."}

// newLock pins cfg, the run file's configuration, and the files it names.
func newLock(cfg *config.Config, g Grid) (*lock, error) {
	files, err := train.Hashes(cfg)
	if err != nil {
		return nil, err
	}
	l := &lock{Version: train.BuildVersion(), RunFile: absolute(cfg.Path()), Grid: g, Files: files, Settings: map[string]any{}}
	for _, v := range cfg.Values() {
		if !slices.ContainsFunc(free, func(f string) bool { return v.Key == f || strings.HasSuffix(f, ".") && strings.HasPrefix(v.Key, f) }) {
			l.Settings[v.Key] = v.Value
		}
	}
	b, err := json.Marshal(l.Settings) // so that they compare with those read back
	if err != nil {
		return nil, err
	}
	l.Settings = map[string]any{}
	return l, json.Unmarshal(b, &l.Settings)
}

// readLock reads the lock of the comparison in dir; nil where there is none.
func readLock(dir string) (*lock, error) {
	path := filepath.Join(dir, lockFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, train.DataError(err)
	}
	l := &lock{}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, train.DataError(fmt.Errorf("%s: %w", path, err))
	}
	return l, nil
}

func (l *lock) write(dir string) error {
	b, err := json.MarshalIndent(l, "", " ")
	if err != nil {
		return err
	}
	return train.DataError(safetensors.WriteFile(filepath.Join(dir, lockFile), append(b, '\n')))
}

// continues checks that now, the lock that this process would write, goes on with the one that l
// has pinned, and names the change if not. Nothing is wrong with another
// version of the program as long as no run is missing.
func (l *lock) continues(now *lock, dir string) error {
	var changes []string
	keys := slices.Sorted(maps.Keys(union(l.Settings, now.Settings)))
	for _, k := range keys {
		if a, b := l.Settings[k], now.Settings[k]; !reflect.DeepEqual(a, b) {
			changes = append(changes, fmt.Sprintf("%s was %v and is %v", k, shown(a), shown(b)))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(union(l.Files, now.Files))) {
		if l.Files[p] != now.Files[p] {
			changes = append(changes, p+" has changed")
		}
	}
	if len(changes) == 0 {
		return nil
	}
	if n := len(changes); n > 5 {
		changes = append(changes[:5], fmt.Sprintf("and %d more", n-5))
	}
	return &config.Error{Where: filepath.Join(dir, lockFile), Msg: "the runs there were made with other settings: " +
		strings.Join(changes, "; "), Fix: "undo the change, or compare into another folder with --out"}
}

// sameVersion refuses to add runs of another version of the program.
func (l *lock) sameVersion(now train.Version, dir string, missing int) error {
	if missing == 0 || l.Version.Version == now.Version {
		return nil
	}
	return &config.Error{Where: filepath.Join(dir, lockFile),
		Msg: fmt.Sprintf("the runs there were made by version %s, this is %s: %d runs are missing and would not compare", l.Version.Version,
			now.Version, missing), Fix: "that version, or another folder with --out"}
}

func shown(v any) any {
	if v == nil {
		return "not set"
	}
	return v
}

func union[V any](a, b map[string]V) map[string]V {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]V{}
	}
	maps.Copy(out, b)
	return out
}
