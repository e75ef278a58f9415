package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/config"
	"concord/internal/train"
)

// Each kind of error has its documented exit code, however much is said around it.
func TestExitCodeOfEachKind(t *testing.T) {
	for want, err := range map[int]error{1: errors.New("anything else"), 2: &config.Error{}, 3: train.ErrData, 4: train.ErrDevice,
		5: train.ErrDiverged, 6: train.ErrInterrupted, 7: train.ErrCluster} {
		if code := exitCode(fmt.Errorf("around: %w", err)); code != want {
			t.Errorf("%v ends with %d, want %d", err, code, want)
		}
	}
	_, help, _ := concord(t, "", "--help")
	if words := strings.Join(strings.Fields(help), " "); !strings.Contains(words, "2 usage or configuration, 3 data or model file, "+
		"4 device, 5 diverged, 6 interrupted and resumable, 7 the other machines of a run.") {
		t.Errorf("the help names other codes:\n%s", help)
	}
}

// A worker that is revoked in the middle of a run ends with the exit code of other machines and says why and
// what to do, at once and whenever it comes again. The others go on.
func TestRevokedWorker(t *testing.T) {
	t.Parallel()
	m := startMachines(t, clusterRun(t, 40), "127.0.0.1:0", 3, "-o", "cluster.deadline=false")
	m.at(5, 3)
	number := ""
	for _, x := range m.status().Members {
		if x.Name == "w2" {
			number = fmt.Sprint(x.Worker)
		}
	}
	if code, out, errs := concord(t, "", "revoke", m.dir, number); code != 0 || !strings.Contains(out, "w2, is put out") {
		t.Fatalf("revoke %s: %d %s%s", number, code, out, errs)
	}
	told := func(when string, w *child) {
		t.Helper()
		code, errs := w.end()
		if code != 7 || !strings.Contains(errs, "was revoked on machine 1 (concord revoke)\n  fix: ask whoever runs machine 1") {
			t.Errorf("%s it ends with %d: %s", when, code, errs)
		}
	}
	told("revoked in a step", m.workers[0])
	told("when it comes again", start(t, m.workers[0].Args[1:]...))
	m.finish(m.workers[1])
	if steps := m.records(); len(steps) != 40 || !slices.IsSortedFunc(steps, inOrder) {
		t.Errorf("%d steps on record in %s", len(steps), filepath.Base(m.dir))
	}
}
