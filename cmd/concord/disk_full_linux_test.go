package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"concord/internal/checkpoint"
	"concord/internal/freeport"
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
	smallDisk(t, runs, "180k")
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
	enlarge(t, runs)
	if code, _, errs := concord(t, "", "resume", dir); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, errs)
	}
	if d := want.Differ(traintest.OutcomeOf(t, dir)); d != "" {
		t.Error(d)
	}
}

// smallDisk mounts one at dir.
func smallDisk(t *testing.T, dir, size string) {
	t.Helper()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// enlarge makes room on a small disk.
func enlarge(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, "size=200m"); err != nil {
		t.Fatal(err)
	}
}

// Machine 1's disk fills up in the middle of a run on two machines, once so far that
// no step can be committed, once so far that no checkpoint can be saved: both wait
// and say for what, and with room the run ends with the bits of one that had it
// (reference case 31).
func TestDiskFullOnManyMachines(t *testing.T) {
	t.Parallel()
	outcome := func(m *machines) traintest.Outcome { m.finish(m.workers...); return traintest.OutcomeOf(t, m.dir) }
	paced := append(slices.Clone(exact), "-o", "cluster.upload_limit=600KB") // three runs to their end, in f32: a third as slow as others
	want := outcome(startMachines(t, clusterRun(t, 60), "127.0.0.1:0", 2, paced...))

	run := clusterRun(t, 60)
	runs := filepath.Join(filepath.Dir(run), "runs")
	if err := os.Mkdir(runs, 0o755); err != nil {
		t.Fatal(err)
	}
	smallDisk(t, runs, "60m")
	m := startMachines(t, run, "127.0.0.1:0", 2, paced...)
	m.at(12, 2)
	fill := filepath.Join(runs, "fill")
	var free syscall.Statfs_t
	if err := syscall.Statfs(runs, &free); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fill, make([]byte, int64(free.Bavail)*free.Bsize-8<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	if !m.first.await(m.first.stderr, "waiting for the store, to commit step") {
		t.Fatal("machine 1 ended")
	}
	waiting := ""
	for began := time.Now(); !strings.Contains(waiting, "MB are free in") && time.Since(began) < patience; time.Sleep(50 * time.Millisecond) {
		waiting = m.status().Waiting
	}
	if !strings.Contains(waiting, "make room") {
		t.Errorf("the status says %q", waiting)
	}
	os.Remove(fill)
	if d := want.Differ(outcome(m)); d != "" {
		t.Errorf("commits had no room: %s", d)
	}

	run = clusterRun(t, 60)
	m = &machines{t: t, dir: filepath.Join(filepath.Dir(run), "runs", "tiny")}
	m.first = start(t, slices.Concat([]string{"train", run, "--listen", "127.0.0.1:0", "--workers", "2"}, paced)...)
	m.line = m.awaitLine() // and it waits for another machine
	checkpoints := filepath.Join(m.dir, "checkpoints")
	if err := os.MkdirAll(checkpoints, 0o755); err != nil {
		t.Fatal(err)
	}
	smallDisk(t, checkpoints, "60k")
	m.join("w2")
	if !m.first.await(m.first.stderr, "step 10 cannot be saved") || !m.first.await(m.first.stderr, "make room for the run's files in "+m.dir) {
		t.Fatal("machine 1 ended")
	}
	enlarge(t, checkpoints)
	if d := want.Differ(outcome(m)); d != "" {
		t.Errorf("checkpoints had no room: %s", d)
	}
}

// A record of machine 1 that cannot be written ends it, and not the others: they
// hold the steps that are not saved until it is resumed.
func TestMetricsDiskFullOnManyMachines(t *testing.T) {
	t.Parallel()
	run, listen := clusterRun(t, 40), freeport.Of(t, "udp")
	m := startMachines(t, run, listen, 2, "-o", "cluster.silence=2", "-o", "checkpoint.every=1000")
	m.past(m.first, 10, 2)
	m.first.Process.Kill()
	m.first.end()
	committed := max(m.status().Step, 10)
	metrics := filepath.Join(m.dir, "metrics.jsonl")
	if err := os.Rename(metrics, metrics+".old"); err != nil {
		t.Fatal(err)
	}
	full := t.TempDir()
	smallDisk(t, full, "4k")
	os.WriteFile(filepath.Join(full, "fill"), make([]byte, 4096), 0o644)
	if err := os.Symlink(filepath.Join(full, "metrics.jsonl"), metrics); err != nil {
		t.Fatal(err)
	}
	m.first = start(t, "resume", m.dir, "--listen", listen)
	if code, errs := m.first.end(); code != exitData || !strings.Contains(errs, "no space left on device") ||
		!strings.Contains(errs, "the other machines wait") {
		t.Fatalf("%d: %s", code, errs)
	}
	os.Remove(metrics)
	m.first = start(t, "resume", m.dir, "--listen", listen)
	m.finish(m.workers...)
	steps := m.records()
	if first := steps[0].Step; first <= committed || steps[len(steps)-1].Step != 40 {
		t.Errorf("%d steps were committed, the resumed run began with step %d", committed, first)
	}
}
