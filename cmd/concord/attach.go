package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"concord/internal/live"
	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/train"
)

type attachCmd struct {
	Dir   string `arg:"" help:"The run's folder (runs/NAME)."`
	Plain bool   `help:"Plain lines, also in a terminal."`
}

// Run shows a run that another process makes, from its metrics.
func (c *attachCmd) Run() error {
	if !rundir.IsRun(c.Dir) {
		return rundir.NotARun(c.Dir)
	}
	ctx, stop := interruptible(stoppingAttach)
	defer stop()
	f := &follower{path: filepath.Join(c.Dir, "metrics.jsonl")}
	if !wantView(c.Plain) {
		return c.plain(ctx.Done(), f)
	}
	left := make(chan struct{}, 16)
	v, err := newView(func() { left <- struct{}{} })
	if err != nil {
		return c.plain(ctx.Done(), f)
	}
	defer v.close()
	v.change(func(s *live.State) { s.Attached = true })
	for {
		if err := f.read(v.Watch); err != nil {
			return train.DataError(err)
		}
		going := rundir.Going(c.Dir)
		v.change(func(s *live.State) {
			if s.End == nil && !going && !s.Gone {
				s.Say("nobody makes this run any more; to go on: " + report.Command("resume", c.Dir))
			}
			s.Gone = !going
		})
		select {
		case <-left:
			return nil
		case <-ctx.Done():
			return nil
		case command := <-v.commands:
			if err := train.Ask(c.Dir, command); err != nil {
				v.change(func(s *live.State) { s.Say(err.Error()) })
			}
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// plain prints lines until the run ends or nobody makes it any more.
func (c *attachCmd) plain(done <-chan struct{}, f *follower) error {
	r := report.New(report.Options{Out: os.Stdout, LogEvery: 1})
	ended := false
	show := func(record any) {
		switch x := record.(type) {
		case report.Header:
			r.Begin(x)
		case report.Step:
			r.Step(x)
		case report.Eval:
			r.Eval(x)
		case report.Note:
			r.Note(x)
		case report.End:
			r.End(x)
			ended = true
		}
	}
	for {
		going := rundir.Going(c.Dir) // before the read: its last records must still be shown
		if err := f.read(show); err != nil {
			return train.DataError(err)
		}
		if ended {
			return nil
		}
		if !going {
			fmt.Printf("concord: nobody makes this run any more; to go on: %s\n", report.Command("resume", c.Dir))
			return nil
		}
		select {
		case <-done:
			return nil
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// follower reads a growing file of records. A file that became shorter, as a
// resumed run trims it, is read again from the start.
type follower struct {
	path string
	at   int64
}

// read passes the whole lines that are new to show.
func (f *follower) read(show func(record any)) error {
	file, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if st, err := file.Stat(); err == nil && st.Size() < f.at {
		f.at = 0
	}
	if _, err := file.Seek(f.at, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReader(file)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return nil // a line that is being written is read the next time
		}
		f.at += int64(len(line))
		if r := record(bytes.TrimSpace(line)); r != nil {
			show(r)
		}
	}
}

// record decodes one line; nil for a record that the view does not show.
func record(line []byte) any {
	var k struct {
		Kind string `json:"kind"`
	}
	if json.Unmarshal(line, &k) != nil {
		return nil
	}
	switch k.Kind {
	case "header":
		return decode[report.Header](line)
	case "step":
		return decode[report.Step](line)
	case "eval":
		return decode[report.Eval](line)
	case "note":
		return decode[report.Note](line)
	case "end":
		return decode[report.End](line)
	}
	return nil
}

func decode[T any](line []byte) any {
	var x T
	if json.Unmarshal(line, &x) != nil {
		return nil
	}
	return x
}
