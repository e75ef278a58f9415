package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"concord/internal/live"
	"concord/internal/report"
	"concord/internal/train"
)

// view is a full-screen view on the terminal, from newView to close.
type view struct {
	mu       sync.Mutex
	state    live.State
	out      *os.File
	restore  func()
	drawn    string
	stop     chan struct{}
	closed   bool
	commands chan train.Command
	onQuit   func() // for keys that end the program's own part
}

// wantView says that standard input and output are a terminal that the view fits.
func wantView(plain bool) bool {
	in, out := int(os.Stdin.Fd()), int(os.Stdout.Fd())
	if plain || os.Getenv("TERM") == "dumb" || os.Getenv("NO_COLOR") != "" || !term.IsTerminal(in) || !term.IsTerminal(out) {
		return false
	}
	w, h, err := term.GetSize(out)
	return err == nil && w >= live.MinWidth && h >= live.MinHeight
}

// newView takes the terminal: alternate screen, no cursor, keys as they are
// pressed. close gives it back.
func newView(onQuit func()) (*view, error) {
	old, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return nil, err
	}
	v := &view{out: os.Stdout, stop: make(chan struct{}), commands: make(chan train.Command, 16), onQuit: onQuit}
	v.restore = func() { term.Restore(int(os.Stdin.Fd()), old) }
	io.WriteString(v.out, "\x1b[?1049h\x1b[?25l\x1b[2J")
	go v.loop()
	go v.read(os.Stdin)
	return v, nil
}

// close gives the terminal back; the second call does nothing.
func (v *view) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	v.closed = true
	close(v.stop)
	io.WriteString(v.out, "\x1b[?25h\x1b[?1049l")
	v.restore()
}

// Watch takes a record; the run's end closes the view, so that the closing table
// goes to the ordinary screen.
func (v *view) Watch(record any) {
	v.mu.Lock()
	v.state.Add(record)
	attached := v.state.Attached
	v.mu.Unlock()
	if _, end := record.(report.End); end && !attached {
		v.close()
	}
}

// Write shows warnings as messages.
func (v *view) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return os.Stderr.Write(p)
	}
	for line := range strings.Lines(string(p)) {
		v.state.Say(strings.TrimSpace(line))
	}
	return len(p), nil
}

// change runs f on the state.
func (v *view) change(f func(s *live.State)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(&v.state)
}

// loop draws the changes five times a second; asking for the size each time
// makes resizing work on every system.
func (v *view) loop() {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-t.C:
			if !v.tryDraw() {
				v.close() // the run is worth more than its view
				fmt.Fprintln(os.Stderr, "concord: the view failed and was closed; the run goes on, see: concord attach --plain")
				return
			}
		}
	}
}

// tryDraw draws and says whether that went well.
func (v *view) tryDraw() (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	v.draw()
	return true
}

func (v *view) draw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	w, h, err := term.GetSize(int(v.out.Fd()))
	if err != nil {
		return
	}
	lines := live.Render(&v.state, w, h)
	if lines == nil {
		lines = []string{"too small; the run goes on"}
	}
	var b bytes.Buffer
	b.WriteString("\x1b[H")
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l + "\x1b[K")
	}
	b.WriteString("\x1b[J")
	if text := b.String(); text != v.drawn {
		v.drawn = text
		io.WriteString(v.out, text)
	}
}

// read turns the terminal's bytes into keys, until the program ends.
func (v *view) read(in io.Reader) {
	buf := make([]byte, 64)
	for {
		n, err := in.Read(buf)
		if err != nil {
			return
		}
		for _, key := range live.Keys(buf[:n]) {
			v.key(key)
		}
	}
}

// key acts on one key.
func (v *view) key(key string) {
	v.mu.Lock()
	s := &v.state
	confirm := s.Confirm
	s.Confirm = false
	known := s.Key(key)
	attached, over := s.Attached, s.Attached && (s.Gone || s.End != nil)
	v.mu.Unlock()
	switch {
	case known:
	case confirm:
		if key == "y" {
			v.send(train.CommandQuit)
		}
	case key == "ctrl-c", key == "q":
		v.onQuit()
	case over:
	case key == "Q" && attached:
		v.change(func(s *live.State) { s.Confirm = true })
	case key == "c":
		v.send(train.CommandCheckpoint)
	case key == "e":
		v.send(train.CommandEvaluate)
	case key == "p":
		v.send(train.CommandPause)
	}
}

// send passes a command on, unless many wait already.
func (v *view) send(c train.Command) {
	select {
	case v.commands <- c:
		v.change(func(s *live.State) { s.Say("asked: " + string(c) + ", after this step") })
	default:
	}
}
