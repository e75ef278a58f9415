package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math"
	"os"

	"concord/internal/checkpoint"
	"concord/internal/report"
	"concord/internal/rundir"
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
	Device     string       `json:"device,omitempty"`
	Checkpoint int          `json:"checkpoint"`     // step of the newest, 0: none
	Eval       *report.Eval `json:"eval,omitempty"` // the latest
	Model      string       `json:"model,omitempty"`
	Warnings   []string     `json:"warnings,omitempty"` // of its start, with the line that changes each
}

// StatusOf tells how the run in dir stands, whether a process is making it or not.
func StatusOf(dir string) (Status, error) {
	l, err := readLock(dir)
	if err != nil {
		return Status{}, err
	}
	s := Status{Dir: dir, Name: l.Config.Run.Name, State: "stopped", Method: string(l.Config.Objective.Method),
		Scope: l.Config.Objective.Scope.String(),
		Steps: l.Config.Schedule.Steps}
	s.Loss = report.Float(math.NaN())
	if err := s.tail(rundir.Metrics(dir)); err != nil {
		return s, DataError(err)
	}
	if rundir.Going(dir) {
		if s.State != "paused" {
			s.State = "going"
		}
	} else if s.State == "paused" {
		s.State = "stopped"
	}
	if path, step, _, err := checkpoint.Latest(rundir.Checkpoints(dir)); err == nil && path != "" {
		s.Checkpoint = step
	}
	if out, err := rundir.ModelDir(dir); err == nil {
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
	var pace report.Pace
	if st, err := f.Stat(); err == nil && st.Size() > tailBytes {
		first, _ := bufio.NewReader(f).ReadBytes('\n') // the header, whose warnings the tail may not have
		s.take(first, &pace)
		if _, err := f.Seek(-tailBytes, io.SeekEnd); err != nil {
			return err
		}
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(b) {
		s.take(line, &pace)
	}
	return nil
}

// take reads one record; a line cut short is none.
func (s *Status) take(line []byte, pace *report.Pace) {
	var r struct {
		Kind     string          `json:"kind"`
		Steps    int             `json:"steps"`
		Start    int             `json:"start"`
		Paused   bool            `json:"paused"`
		Device   string          `json:"device"`
		Warnings json.RawMessage `json:"warnings"`
	}
	if json.Unmarshal(line, &r) != nil {
		return
	}
	switch r.Kind {
	case "header":
		s.State, s.Step, s.Steps, s.Device = "stopped", r.Start, r.Steps, r.Device
		s.Warnings = nil
		_ = json.Unmarshal(r.Warnings, &s.Warnings) // none, or of another version
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
