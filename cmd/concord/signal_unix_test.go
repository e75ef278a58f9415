//go:build unix

package main

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"concord/internal/checkpoint"
	"concord/internal/train/traintest"
)

// endless is a run that saves only when it is stopped.
func endless(t *testing.T) (runFile, dir string) {
	t.Helper()
	needSignals(t)
	runFile = traintest.Run(t, map[string]string{"schedule": "steps = 1000000", "checkpoint": "every = 0", "eval": "every = 0\nfirst = false"})
	return runFile, filepath.Join(filepath.Dir(runFile), "runs", "tiny")
}

func saved(t *testing.T, dir string) {
	t.Helper()
	if _, step, skipped, err := checkpoint.Latest(filepath.Join(dir, "checkpoints")); err != nil || len(skipped) > 0 || step < 2 {
		t.Errorf("checkpoint of step %d: %v %v", step, skipped, err)
	}
}

// arrives sees to it that the runs of a test do not ignore s, also where the tests were
// started so, as by nohup: a signal that is caught has its default in new processes.
func arrives(t *testing.T, s os.Signal) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, s)
	t.Cleanup(func() { signal.Stop(c) })
}

// Every signal that would end the program ends it after the step and a save; a
// closed terminal sends two.
func TestEverySignalSaves(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGXCPU,
		syscall.SIGALRM, syscall.SIGVTALRM} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			arrives(t, s)
			runFile, dir := endless(t)
			c := start(t, "train", runFile)
			if !c.await(c.lines, "step 2/") {
				t.Fatal("no step 2")
			}
			for range 2 {
				if err := c.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			if code, errs := c.end(); code != exitInterrupted || !strings.Contains(errs, "concord resume "+dir) {
				t.Errorf("exit code %d:\n%s", code, errs)
			}
			saved(t, dir)
		})
	}
}

// Under nohup a hang-up is no reason to stop.
func TestNohup(t *testing.T) {
	runFile, dir := endless(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	c := exec.Command("sh", "-c", `trap "" HUP; exec "$0" train "$1" > "$2"`, self, runFile, log)
	c.Env = append(os.Environ(), asProgram+"=1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	steps := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if b, _ := os.ReadFile(log); strings.Contains(string(b), want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no %q", want)
			}
		}
	}
	steps("step 2/")
	if err := c.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(log)
	steps("step " + strconv.Itoa(strings.Count(string(b), "step ")+20) + "/")
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := exitOf(t, c.Wait()); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	saved(t, dir)
}
