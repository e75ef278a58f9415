package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"concord/internal/checkpoint"
	"concord/internal/train/traintest"
)

// A disk that is full at the second checkpoint: the run ends with an error that
// names the cause and the way on, the first checkpoint stays whole, and with
// room the run continues to the same bits. Needs the right to mount.
func TestDiskFull(t *testing.T) {
	traintest.RequireAdapter(t)
	settings := map[string]string{"checkpoint": "every = 1", "schedule": "steps = 3"}
	calm := traintest.Run(t, settings)
	if code, _, errs := concord(t, "", "train", calm); code != 0 {
		t.Fatal(errs)
	}
	want := traintest.OutcomeOf(t, filepath.Join(filepath.Dir(calm), "runs", "tiny"))

	runFile := traintest.Run(t, settings)
	runs := filepath.Join(filepath.Dir(runFile), "runs")
	if err := os.Mkdir(runs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("none", runs, "tmpfs", 0, "size=180k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(runs, 0); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(runs, "tiny")
	code, _, errs := concord(t, "", "train", runFile)
	if code != exitData {
		t.Errorf("exit code %d", code)
	}
	for _, s := range []string{"no space left on device", "what was saved before is intact", "fix: make room", "concord resume " + dir} {
		if !strings.Contains(errs, s) {
			t.Errorf("it does not say %q:\n%s", s, errs)
		}
	}
	if _, step, skipped, err := checkpoint.Latest(filepath.Join(dir, "checkpoints")); err != nil || len(skipped) > 0 || step != 1 {
		t.Errorf("last checkpoint is of step %d: %v %v", step, skipped, err)
	}
	if err := syscall.Mount("none", runs, "tmpfs", syscall.MS_REMOUNT, "size=10m"); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := concord(t, "", "resume", dir); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, errs)
	}
	if d := want.Differ(traintest.OutcomeOf(t, dir)); d != "" {
		t.Error(d)
	}
}
