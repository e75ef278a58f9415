package rundir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/fault"
)

func touch(t *testing.T, parts ...string) {
	t.Helper()
	path := filepath.Join(parts...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A folder stands for a model: its own, the run's final one, or none, with the command
// that makes it.
func TestModelDir(t *testing.T) {
	root := t.TempDir()
	base, run, done := filepath.Join(root, "base"), filepath.Join(root, "run"), filepath.Join(root, "done")
	touch(t, base, "config.json")
	touch(t, run, LockFile)
	touch(t, run, CheckpointFolder, "step-00000007", "state.json")
	touch(t, done, LockFile)
	touch(t, done, ModelFolder, "config.json")
	elsewhere := filepath.Join(root, "other", CheckpointFolder, "step-00000007")
	touch(t, elsewhere, "state.json")
	for dir, want := range map[string]string{base: base, done: filepath.Join(done, ModelFolder), elsewhere: elsewhere} {
		if got, err := ModelDir(dir); err != nil || got != want {
			t.Errorf("%s stands for %s, %v, want %s", dir, got, err, want)
		}
	}
	for dir, says := range map[string]string{run: "no final model yet", filepath.Join(run, CheckpointFolder,
		"step-00000007"): "--checkpoint 7"} {
		if _, err := ModelDir(dir); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), says) ||
			!strings.Contains(err.Error(), "export "+run) {
			t.Errorf("%s: %v, want %q", dir, err, says)
		}
	}
	conf := (*fault.Usage)(nil)
	if err := NotARun(root); !errors.As(err, &conf) || !strings.Contains(err.Error(), "runs here: "+done+", "+run) || IsRun(root) ||
		!IsRun(run) {
		t.Errorf("not a run: %v", err)
	}
}
