package train

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"concord/internal/config"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/safetensors"
)

// Checkpoints and evaluations on demand, and a pause, change no bit of what a run
// comes to.
func TestCommandsChangeNothing(t *testing.T) {
	overrides := []string{"schedule.steps=5", "objective.method=gradvac", "eval.every=2", "optim.lr=0.05"}
	plain := tiny(t, overrides...)
	if _, err := Run(context.Background(), plain, UI{Out: &strings.Builder{}}); err != nil {
		t.Fatal(err)
	}
	cfg := tiny(t, overrides...)
	commands := make(chan Command, 10)
	var notes []string
	watch := func(record any) {
		switch r := record.(type) {
		case report.Step:
			switch r.Step {
			case 1, 3:
				commands <- CommandEvaluate
				commands <- CommandCheckpoint
			case 2:
				commands <- CommandPause
				time.AfterFunc(300*time.Millisecond, func() { commands <- CommandPause })
			}
		case report.Note:
			notes = append(notes, r.Text)
		}
	}
	start := time.Now()
	sum, err := Run(context.Background(), cfg, UI{Out: &strings.Builder{}, Watch: watch, Commands: commands})
	if err != nil {
		t.Fatal(err)
	}
	model := func(cfg *config.Config) []byte {
		b, err := os.ReadFile(filepath.Join(cfg.OutDir(), rundir.ModelFolder, safetensors.SingleFile))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Equal(model(plain), model(cfg)) {
		t.Error("another model comes out")
	}
	if text := strings.Join(notes, "; "); !strings.Contains(text, "checkpoint of step 1 saved") ||
		!strings.Contains(text, "paused after step 2; going on after step 2") {
		t.Errorf("notes: %s", text)
	}
	if took := time.Since(start).Seconds(); sum.End.Seconds > took-0.15 {
		t.Errorf("the run counts %.2f s of %.2f s, the pause included", sum.End.Seconds, took)
	}
}

// Commands of other processes are files: those of an earlier process do not
// count, nor what is no command; quit saves and can be resumed.
func TestAsk(t *testing.T) {
	cfg := tiny(t, "schedule.steps=4")
	dir := cfg.OutDir()
	if err := Ask(dir, CommandQuit); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), "concord resume") {
		t.Errorf("asking nobody: %v", err)
	}
	var notes []string
	watch := func(record any) {
		switch r := record.(type) {
		case report.Header: // forget has run
			if _, err := os.Stat(filepath.Join(dir, controlFolder)); err == nil {
				t.Error("commands of an earlier process are still there")
			}
		case report.Step:
			if r.Step == 1 {
				folder := filepath.Join(dir, controlFolder)
				os.MkdirAll(folder, 0o755)
				os.WriteFile(filepath.Join(folder, "0.json"), []byte("not json"), 0o600)
				os.WriteFile(filepath.Join(folder, "1.json"), []byte(`{"command":"rm -rf"}`), 0o600)
				os.WriteFile(filepath.Join(folder, "2.tmp"), []byte(`{"command":"quit"}`), 0o600)
				if err := Ask(dir, CommandCheckpoint); err != nil {
					t.Error(err)
				}
				if err := Ask(dir, CommandQuit); err != nil {
					t.Error(err)
				}
			}
		case report.Note:
			notes = append(notes, r.Text)
		}
	}
	_, err := Run(context.Background(), cfg, UI{Out: &strings.Builder{}, Watch: watch})
	if !errors.Is(err, ErrInterrupted) {
		t.Fatalf("quit gives %v", err)
	}
	if text := strings.Join(notes, "; "); strings.Count(text, "not a command") != 2 || !strings.Contains(text, "checkpoint of step 1 saved") {
		t.Errorf("notes: %s", text)
	}
	if err := os.MkdirAll(filepath.Join(dir, controlFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, controlFolder, "9.json"), []byte(`{"command":"quit"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Resume(context.Background(), dir, nil, UI{Out: &strings.Builder{}}); err != nil {
		t.Errorf("resumed: %v", err)
	}
	if rundir.Going(dir) {
		t.Error("a finished run is going")
	}
}
