package train

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"concord/internal/train/traintest"
)

// A project that was moved, renamed or mounted elsewhere resumes to the same bits;
// other content is refused by name.
func TestResumeOfAMovedProject(t *testing.T) {
	overrides := []string{"schedule.steps=4", "eval.every=0"}
	want := uninterrupted(t, overrides...)
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	edit := func(t *testing.T, path, from, to string) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(b), from) {
			t.Fatalf("%s: %q is not in it: %v", path, from, err)
		}
		traintest.WriteFile(t, path, strings.ReplaceAll(string(b), from, to))
	}
	for name, c := range map[string]struct {
		move    func(t *testing.T, project, to string) (run, runFile string)
		refused string
	}{
		"the whole project": {move: func(t *testing.T, project, to string) (string, string) {
			rename(t, project, to)
			return filepath.Join(to, "runs", "tiny"), ""
		}},
		"the run alone": {move: func(t *testing.T, project, to string) (string, string) {
			rename(t, filepath.Join(project, "runs", "tiny"), to)
			return to, ""
		}},
		"the project but not the run": {move: func(t *testing.T, project, to string) (string, string) {
			for _, f := range []string{"base", "run.toml", "aa.jsonl", "bb.jsonl", "cc.jsonl", "aa.heldout.jsonl", "bb.heldout.jsonl", "cc.heldout.jsonl", "dd.heldout.jsonl"} {
				rename(t, filepath.Join(project, f), filepath.Join(to, f))
			}
			return filepath.Join(project, "runs", "tiny"), filepath.Join(to, "run.toml")
		}},
		"another mount, linked": {move: func(t *testing.T, project, to string) (string, string) {
			rename(t, project, to)
			if err := os.Symlink(filepath.Join(to, "runs"), filepath.Join(filepath.Dir(to), "link")); err != nil {
				t.Skip(err)
			}
			edit(t, filepath.Join(to, "run.toml"), `"bb.jsonl"`, `"`+filepath.ToSlash(filepath.Join(to, "bb.jsonl"))+`"`)
			return filepath.Join(filepath.Dir(to), "link", "tiny"), filepath.Join(to, "run.toml")
		}},
		"a renamed file": {move: func(t *testing.T, project, to string) (string, string) {
			rename(t, filepath.Join(project, "bb.jsonl"), filepath.Join(project, "new name.jsonl"))
			return filepath.Join(project, "runs", "tiny"), ""
		}},
		"a file elsewhere, the run file edited": {move: func(t *testing.T, project, to string) (string, string) {
			rename(t, filepath.Join(project, "bb.jsonl"), filepath.Join(project, "data", "b.jsonl"))
			rename(t, filepath.Join(project, "base"), filepath.Join(project, "models", "base"))
			edit(t, filepath.Join(project, "run.toml"), `"bb.jsonl"`, `"data/b.jsonl"`)
			edit(t, filepath.Join(project, "run.toml"), `"base"`, `"models/base"`)
			return filepath.Join(project, "runs", "tiny"), ""
		}},
		"the base model's weights deleted": {move: func(t *testing.T, project, to string) (string, string) {
			if err := os.Remove(filepath.Join(project, "base", "model.safetensors")); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(project, "runs", "tiny"), ""
		}},
		"edited after the move": {refused: "bb.jsonl has changed", move: func(t *testing.T, project, to string) (string, string) {
			rename(t, project, to)
			edit(t, filepath.Join(to, "bb.jsonl"), "A", "B")
			return filepath.Join(to, "runs", "tiny"), ""
		}},
		"a copy, edited": {refused: "bb.jsonl has changed", move: func(t *testing.T, project, to string) (string, string) {
			if err := os.CopyFS(to, os.DirFS(project)); err != nil {
				t.Fatal(err)
			}
			edit(t, filepath.Join(to, "bb.jsonl"), "A", "B")
			return filepath.Join(to, "runs", "tiny"), ""
		}},
		"renamed and edited": {refused: "bb.jsonl", move: func(t *testing.T, project, to string) (string, string) {
			edit(t, filepath.Join(project, "bb.jsonl"), "A", "B")
			rename(t, filepath.Join(project, "bb.jsonl"), filepath.Join(project, "b.jsonl"))
			return filepath.Join(project, "runs", "tiny"), ""
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tiny(t, overrides...)
			if _, err := until("step 2/", running(cfg)); !errors.Is(err, ErrInterrupted) {
				t.Fatal(err)
			}
			run, runFile := c.move(t, filepath.Dir(cfg.Path()), filepath.Join(t.TempDir(), "new place"))
			_, err := ResumeMoved(context.Background(), run, runFile, nil, UI{Out: io.Discard})
			if c.refused != "" {
				if !errors.Is(err, ErrData) || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("want a refusal that names %q: %v", c.refused, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := want.Differ(traintest.OutcomeOf(t, run)); d != "" {
				t.Error(d)
			}
			if _, err := RunConfig(run); err != nil { // from here on the new place is known
				t.Error(err)
			}
		})
	}
}
