package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"concord/internal/train/traintest"
)

// screenOf collects what a program draws on a pseudo-terminal.
type screenOf struct {
	mu sync.Mutex
	b  bytes.Buffer
	f  *os.File
}

func (s *screenOf) collect() {
	buf := make([]byte, 4096)
	for {
		n, err := s.f.Read(buf)
		s.mu.Lock()
		s.b.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *screenOf) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// await waits until the screen has shown text.
func (s *screenOf) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(s.text(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %q on the screen; it showed %q", patience, text, s.text())
		}
	}
}

// onTerminal starts the program on a pseudo-terminal of so many columns and lines.
func onTerminal(t *testing.T, cols, lines uint16, args ...string) (s *screenOf, ended func() int) {
	t.Helper()
	c := program(t, args...)
	c.Env = append(c.Env, "TERM=xterm", "NO_COLOR=")
	f, err := pty.StartWithSize(c, &pty.Winsize{Cols: cols, Rows: lines})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); f.Close() })
	s = &screenOf{f: f}
	go s.collect()
	return s, func() int {
		over := time.AfterFunc(patience, func() { c.Process.Kill() })
		defer over.Stop()
		return exitOf(t, c.Wait())
	}
}

// The terminal of a run closes, as when a connection drops: the run finishes its
// step and saves.
func TestTerminalCloses(t *testing.T) {
	arrives(t, syscall.SIGHUP)
	for _, args := range [][]string{{"train"}, {"train", "--plain"}} {
		runFile, dir := endless(t)
		run, ended := onTerminal(t, 100, 30, append(args, runFile)...)
		run.await(t, "step 2")
		run.f.Close()
		if code := ended(); code != exitInterrupted {
			t.Errorf("%v: exit code %d", args, code)
		}
		saved(t, dir)
	}
}

// On a terminal a run is a view: keys act between steps, another terminal
// attaches and asks too, and in the end the terminal is what it was.
func TestView(t *testing.T) {
	traintest.RequireAdapter(t)
	runFile := traintest.Run(t, map[string]string{"schedule": "steps = 100000"})
	dir := filepath.Join(filepath.Dir(runFile), "runs", "tiny")
	run, ended := onTerminal(t, 100, 30, "train", runFile)
	run.await(t, "\x1b[?1049h") // the alternate screen
	run.await(t, "cos·100")
	run.f.WriteString("c")
	run.await(t, " saved")
	attached, left := onTerminal(t, 100, 30, "attach", dir)
	attached.await(t, "cos·100")
	attached.f.WriteString("p")
	run.await(t, "PAUSED")
	attached.await(t, "PAUSED")
	attached.f.WriteString("p")
	attached.await(t, "going on")
	attached.f.WriteString("q")
	if code := left(); code != 0 {
		t.Errorf("attach leaves with %d", code)
	}
	run.f.WriteString("q")
	if code := ended(); code != exitInterrupted {
		t.Errorf("q ends the run with %d", code)
	}
	run.await(t, "concord resume "+dir)
	for name, s := range map[string]*screenOf{"train": run, "attach": attached} {
		if text := s.text(); strings.Count(text, "\x1b[?1049l") != 1 || !strings.Contains(text, "\x1b[?25h") {
			t.Errorf("%s does not give the terminal back", name)
		}
	}
	code, out, errs := concord(t, "", "attach", dir) // not a terminal, and nobody is there
	if code != 0 || !strings.Contains(out, "nobody makes this run any more") || !strings.Contains(out, "step 1/") {
		t.Errorf("attach to a stopped run: %d, %q, %q", code, out, errs)
	}
	if code, _, errs := concord(t, "", "attach", t.TempDir()); code != exitUsage || !strings.Contains(errs, "fix:") {
		t.Errorf("attach to no run: %d, %q", code, errs)
	}
}
