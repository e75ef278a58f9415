package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"concord/internal/checkpoint"
	"concord/internal/config"
	"concord/internal/report"
)

// Status is how a run stands, as its folder tells.
type Status struct {
	Dir        string       `json:"dir"`
	Name       string       `json:"name"`
	State      string       `json:"state"` // "going", "paused", "stopped" or "finished"
	Method     string       `json:"method"`
	Scope      string       `json:"scope"`
	Step       int          `json:"step"` // steps done
	Steps      int          `json:"steps"`
	Loss       report.Float `json:"loss"` // of the last step, nats per token; null where there is none
	Tokens     int64        `json:"tokens"`
	StepTime   float64      `json:"seconds_per_step"`
	Left       float64      `json:"seconds_left"`
	Checkpoint int          `json:"checkpoint"`     // step of the newest, 0: none
	Eval       *report.Eval `json:"eval,omitempty"` // the latest
	Model      string       `json:"model,omitempty"`
}

// NotARun is the error for a folder that is not a run's.
func NotARun(dir string) error {
	msg := fmt.Sprintf("is not the folder of a run (it has no %s)", lockFile)
	for _, folder := range []string{dir, filepath.Dir(dir)} {
		if known := knownRuns(folder); known != "" {
			msg += "; runs here: " + known
			break
		}
	}
	return &config.Error{Where: dir, Msg: msg, Fix: "the folder that concord train printed, such as runs/NAME"}
}

// StatusOf tells how the run in dir stands, whether a process is making it or not.
func StatusOf(dir string) (Status, error) {
	l, err := readLock(dir)
	if err != nil {
		return Status{}, err
	}
	s := Status{Dir: dir, Name: l.Config.Run.Name, State: "stopped", Method: l.Config.Objective.Method, Scope: l.Config.Objective.Scope, Steps: l.Config.Schedule.Steps}
	s.Loss = report.Float(math.NaN())
	if err := s.tail(filepath.Join(dir, metricsFile)); err != nil {
		return s, DataError(err)
	}
	if Going(dir) {
		if s.State != "paused" {
			s.State = "going"
		}
	} else if s.State == "paused" {
		s.State = "stopped"
	}
	if path, step, _, err := checkpoint.Latest(filepath.Join(dir, checkpointFolder)); err == nil && path != "" {
		s.Checkpoint = step
	}
	if out, err := ModelDir(dir); err == nil {
		s.Model = out
	}
	return s, nil
}

// tailBytes of the metrics are read for the status: some hundred steps.
const tailBytes = 4 << 20

// tail reads the latest records.
func (s *Status) tail(path string) error {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil // before the first record
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Size() > tailBytes {
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return err
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	var pace report.Pace
	for line := range bytes.Lines(b) {
		s.take(line, &pace)
	}
	return nil
}

// take reads one record; a line cut short is none.
func (s *Status) take(line []byte, pace *report.Pace) {
	var r struct {
		Kind   string `json:"kind"`
		Steps  int    `json:"steps"`
		Start  int    `json:"start"`
		Paused bool   `json:"paused"`
	}
	if json.Unmarshal(line, &r) != nil {
		return
	}
	switch r.Kind {
	case "header":
		s.State, s.Step, s.Steps = "stopped", r.Start, r.Steps
		pace.Start(r.Start)
	case "step":
		x := report.Step{}
		if json.Unmarshal(line, &x) != nil {
			return
		}
		pace.Add(x)
		s.Step, s.Steps, s.Loss, s.Tokens = x.Step, x.Steps, x.Loss, x.TotalTokens
		s.StepTime, s.Left = pace.Seconds, pace.Left(x).Seconds()
	case "note":
		s.State = map[bool]string{true: "paused", false: "stopped"}[r.Paused]
	case "eval":
		e := report.Eval{}
		if json.Unmarshal(line, &e) == nil {
			s.Eval = &e
		}
	case "end":
		s.State, s.Left = "finished", 0
	}
}
