package main

import (
	"bufio"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"concord/internal/checkpoint"
	"concord/internal/train/traintest"
)

// patience is how long a child may take for what it takes a moment.
const patience = 2 * time.Minute

// child is a running program.
type child struct {
	*exec.Cmd
	t      *testing.T
	lines  chan string   // standard output, closed at its end
	stderr chan string   // likewise
	over   chan struct{} // closed at the end of standard output, read or not
}

// start starts the program, beside others as a rule: the software rasterizer computes on the
// threads that ask for it, and not on some for every core in each process. The kernels' own
// tests have these threads.
func start(t *testing.T, args ...string) *child {
	t.Helper()
	c := &child{Cmd: program(t, args...), t: t}
	c.Env = append(c.Env, "LP_NUM_THREADS=0")
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	c.over = make(chan struct{})
	c.lines, c.stderr = scan(out, c.over), scan(errs, nil)
	t.Cleanup(func() { c.Process.Kill() }) // an error says that it has ended
	return c
}

// scan sends the lines of r; nobody needs to receive them. over, which may be nil, is closed at its end.
func scan(r io.Reader, over chan struct{}) chan string {
	lines := make(chan string, 10000)
	go func() {
		defer close(lines)
		if over != nil {
			defer close(over)
		}
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

// await waits for a line that holds text, and reports false when the output
// ended without one.
func (c *child) await(lines chan string, text string) bool {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-lines:
			if !ok || strings.Contains(line, text) {
				return ok
			}
		case <-deadline:
			c.Process.Signal(syscall.SIGQUIT) // and it says what its goroutines wait for
			_, said := c.end()
			c.t.Fatalf("waited %v for %q: %s", patience, text, said)
		}
	}
}

// end waits for the child and returns its exit code (−1 when killed) and what
// it wrote to standard error since the last await.
func (c *child) end() (int, string) {
	c.t.Helper()
	var said strings.Builder
	deadline := time.AfterFunc(patience, func() {
		c.Process.Signal(syscall.SIGQUIT) // and it says what its goroutines wait for
		time.Sleep(5 * time.Second)
		c.Process.Kill()
	})
	defer deadline.Stop()
	for range c.lines {
	}
	for line := range c.stderr {
		said.WriteString(line + "\n")
	}
	return exitOf(c.t, c.Wait()), said.String()
}

// A run that is killed over and over, in the middle of a step or of a save, and
// resumed each time ends in the same bits as one that was left alone.
func TestKill(t *testing.T) {
	t.Parallel()
	traintest.RequireAdapter(t)
	settings := map[string]string{"checkpoint": "every = 1\nkeep = 2", "schedule": "steps = 8"}
	calm := traintest.Run(t, settings)
	if code, _, errs := concord(t, "", "train", calm); code != 0 {
		t.Fatal(errs)
	}
	want := traintest.OutcomeOf(t, filepath.Join(filepath.Dir(calm), "runs", "tiny"))

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	runFile := traintest.Run(t, settings)
	dir := filepath.Join(filepath.Dir(runFile), "runs", "tiny")
	checkpoints := filepath.Join(dir, "checkpoints")
	killed, saves := 0, 0
	for process := 0; ; process++ {
		args := []string{"resume", dir}
		if _, _, _, err := checkpoint.Latest(checkpoints); err != nil { // killed before the first
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			args = []string{"train", runFile}
		}
		c := start(t, args...)
		switch {
		case process >= 6:
		case process%2 == 1: // the first is killed elsewhere: a process can end between two looks
			c.killDuringSave(checkpoints)
		case c.await(c.lines, "  loss "): // a step is done; the next one is under way
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
			c.Process.Kill()
		}
		code, errs := c.end()
		if code == 0 {
			break
		}
		if halfSaved(checkpoints) {
			saves++
		}
		if killed++; process >= 6 || code != -1 && runtime.GOOS != "windows" {
			t.Fatalf("process %d ended with %d:\n%s", process, code, errs)
		}
	}
	if t.Logf("killed %d times, %d times a half-written checkpoint was left", killed, saves); killed == 0 {
		t.Error("never killed")
	}
	if d := want.Differ(traintest.OutcomeOf(t, dir)); d != "" {
		t.Errorf("killed %d times: %s", killed, d)
	}
}

// killDuringSave kills the child as soon as a checkpoint is being written.
func (c *child) killDuringSave(checkpoints string) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Microsecond) {
		if halfSaved(checkpoints) {
			c.Process.Kill()
			return
		}
		select {
		case _, ok := <-c.lines:
			if !ok {
				return // it ended first
			}
		default:
		}
	}
}

// halfSaved says that a save has begun and not ended.
func halfSaved(checkpoints string) bool {
	tmp, _ := filepath.Glob(filepath.Join(checkpoints, ".tmp-*", "state.json")) // the pattern is fixed
	return len(tmp) > 0
}

// Ctrl-C once: the step is finished and saved, and the user told how to go on.
func TestInterrupt(t *testing.T) {
	needSignals(t)
	runFile := traintest.Run(t, map[string]string{"schedule": "steps = 100000", "checkpoint": "every = 0", "eval": "every = 0\nfirst = false"})
	dir := filepath.Join(filepath.Dir(runFile), "runs", "tiny")
	c := start(t, "train", runFile)
	if !c.await(c.lines, "step 2/") {
		t.Fatal("no step 2")
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	code, errs := c.end()
	if code != exitInterrupted || !strings.Contains(errs, "finishing the step and saving") || !strings.Contains(errs, "concord resume "+dir) {
		t.Fatalf("exit code %d:\n%s", code, errs)
	}
	_, step, skipped, err := checkpoint.Latest(filepath.Join(dir, "checkpoints"))
	if err != nil || len(skipped) > 0 || step < 2 {
		t.Errorf("checkpoint of step %d: %v %v", step, skipped, err)
	}
	// What it prints is what works.
	again := start(t, "resume", dir)
	if !again.await(again.lines, "  loss ") {
		_, errs := again.end()
		t.Fatal(errs)
	}
	if err := again.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, errs := again.end(); code != exitInterrupted {
		t.Errorf("SIGTERM: exit code %d:\n%s", code, errs)
	}
	if _, now, _, err := checkpoint.Latest(filepath.Join(dir, "checkpoints")); err != nil || now <= step {
		t.Errorf("resumed from %d, ended at %d: %v", step, now, err)
	}
}

// Ctrl-C at a terminal also ends what reads the run's output ("| tee log"): the
// run still finishes its step and saves.
func TestInterruptWithoutReader(t *testing.T) {
	needSignals(t)
	runFile := traintest.Run(t, map[string]string{"schedule": "steps = 100000", "checkpoint": "every = 0",
		"eval": "every = 0\nfirst = false", "log": "every = 1"})
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := program(t, "train", runFile)
	c.Stdout = write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Process.Kill()
	write.Close()
	for s := bufio.NewScanner(read); s.Scan() && !strings.Contains(s.Text(), "step 2/"); {
	}
	read.Close() // the next line written finds no reader
	time.Sleep(300 * time.Millisecond)
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := exitOf(t, c.Wait()); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	_, step, _, err := checkpoint.Latest(filepath.Join(filepath.Dir(runFile), "runs", "tiny", "checkpoints"))
	if err != nil || step < 2 {
		t.Errorf("checkpoint of step %d: %v", step, err)
	}
}

// Ctrl-C twice: out at once, in the middle of the step; the last checkpoint is
// whole.
func TestInterruptTwice(t *testing.T) {
	needSignals(t)
	runFile := traintest.Run(t, map[string]string{"objective": "method = \"mean\"", "batch": "accumulate = 400",
		"schedule": "steps = 100", "checkpoint": "every = 1", "eval": "every = 0\nfirst = false"})
	checkpoints := filepath.Join(filepath.Dir(runFile), "runs", "tiny", "checkpoints")
	c := start(t, "train", runFile)
	if !c.await(c.lines, "step 1/") {
		t.Fatal("no step 1")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, _, _, err := checkpoint.Latest(checkpoints); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no checkpoint")
		}
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if !c.await(c.stderr, "press Ctrl-C again") {
		t.Fatal("it does not say what a second Ctrl-C does")
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	code, errs := c.end()
	if code != exitInterrupted || strings.Contains(errs, "everything is saved") {
		t.Errorf("exit code %d:\n%s", code, errs)
	}
	if _, step, skipped, err := checkpoint.Latest(checkpoints); err != nil || len(skipped) > 0 || step != 1 {
		t.Errorf("last checkpoint is of step %d: %v %v", step, skipped, err)
	}
}

func needSignals(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no way to send Ctrl-C to one other process")
	}
	traintest.RequireAdapter(t)
}
