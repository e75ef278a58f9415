package train

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"concord/internal/report"
	"concord/internal/rundir"
	"concord/internal/safetensors"
)

// Command is a user's request to a run between two steps. None of them changes
// the result of the run.
type Command string

// The commands.
const (
	CommandCheckpoint Command = "checkpoint"
	CommandEvaluate   Command = "evaluate"
	CommandPause      Command = "pause" // and again: go on
	CommandQuit       Command = "quit"  // save and stop, as Ctrl-C does
)

var commands = []Command{CommandCheckpoint, CommandEvaluate, CommandPause, CommandQuit}

// controlFolder holds commands from other processes, one file each, which the
// run takes away when it has read them.
const controlFolder = "control"

// Ask leaves a command for the run in dir, which another process is making. It
// fails when no process is.
func Ask(dir string, c Command) error {
	if !rundir.Going(dir) {
		return DataError(fmt.Errorf("%s is not going: there is nobody to ask\n  fix: %s", dir, report.Command("resume", dir)))
	}
	folder := filepath.Join(dir, controlFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return DataError(err)
	}
	b, err := json.Marshal(map[string]Command{"command": c})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%020d-%d.json", time.Now().UnixNano(), os.Getpid())
	return DataError(safetensors.WriteFile(filepath.Join(folder, name), b))
}

// forget removes commands that were meant for an earlier process.
func forget(dir string) { os.RemoveAll(filepath.Join(dir, controlFolder)) }

// asked takes the commands that wait for the run in dir, oldest first, and says
// the ones that it does not understand.
func asked(dir string) (out []Command, strange []string) {
	folder := filepath.Join(dir, controlFolder)
	entries, err := os.ReadDir(folder) // in the order of their names, which begin with the time
	if err != nil {
		return nil, nil
	}
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		if !strings.HasSuffix(e.Name(), ".json") || e.Type()&fs.ModeType != 0 {
			continue // being written, or not ours
		}
		var x struct {
			Command Command `json:"command"`
		}
		b, err := os.ReadFile(path)
		if os.Remove(path) != nil {
			continue
		}
		if err != nil || len(b) > 4096 || json.Unmarshal(b, &x) != nil || !slices.Contains(commands, x.Command) {
			strange = append(strange, e.Name())
			continue
		}
		out = append(out, x.Command)
	}
	return out, strange
}

// control carries out the user's requests between two steps.
func (x *session) control(ctx context.Context) error {
	for {
		for _, c := range x.orders() {
			if err := x.do(ctx, c); err != nil {
				return err
			}
		}
		if !x.paused || ctx.Err() != nil {
			return nil
		}
		pause := time.Now()
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
		x.started = x.started.Add(time.Since(pause)) // a pause is not training time
	}
}

// orders collects the requests of keys and other processes.
func (x *session) orders() []Command {
	out, strange := asked(x.dir)
	for _, name := range strange {
		x.say("passed over %s in %s: not a command", name, controlFolder)
	}
	for {
		select {
		case c := <-x.ui.Commands:
			out = append(out, c)
		default:
			return out
		}
	}
}

func (x *session) do(ctx context.Context, c Command) error {
	switch c {
	case CommandCheckpoint:
		if err := x.save(ctx); err != nil {
			return err
		}
		x.say("checkpoint of step %d saved", x.Done)
	case CommandEvaluate:
		if x.eval.batches.Len() == 0 {
			x.say("no held-out examples to evaluate on")
			return nil
		}
		e, err := x.evaluate(ctx) // not kept in the state: an evaluation that is due stays due
		if err != nil {
			return err
		}
		x.report.Eval(e)
	case CommandPause:
		x.paused = !x.paused
		x.say(map[bool]string{true: "paused after step %d", false: "going on after step %d"}[x.paused], x.Done)
	case CommandQuit:
		if err := x.save(ctx); err != nil {
			return err
		}
		return interrupted(x.dir, x.Done)
	}
	return nil
}

// say tells the user something that belongs in the metrics too, for those who
// watch from elsewhere.
func (x *session) say(format string, args ...any) {
	x.report.Note(report.Note{Kind: "note", Step: x.Done, Text: fmt.Sprintf(format, args...), Paused: x.paused})
}
