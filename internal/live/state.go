// Package live is the view of a running training in a terminal: the things that the records
// of a run come to (State) and how that looks (Render). Both are pure; the
// terminal and its keys are the program's business.
package live

import (
	"fmt"
	"math"
	"slices"

	"concord/internal/report"
)

// State is the content of the screen. The zero State is that of a run that has told
// nothing yet. Not for concurrent use.
type State struct {
	Header   report.Header
	Last     report.Step
	Eval     *report.Eval // the latest
	First    *report.Eval
	End      *report.End
	Paused   bool
	Attached bool // another process makes the run
	Gone     bool // attached, and nobody makes the run any more
	Bucket   int  // whose weights are shown
	Help     bool
	Confirm  bool // the next key decides whether the run is stopped

	steps    []int
	loss     map[string][]float64
	evals    []int
	latest   map[string]float64 // loss by language, of the last step that had it
	memory   report.Step        // the last since Header: an earlier start may have had another device or budget
	pace     report.Pace
	cosines  report.Cosines
	messages []message
}

// message is a line for the user.
type message struct {
	text string
	kind kind
}

// kind is the fate of a message when others follow.
type kind int

const (
	said     kind = iota
	answer        // of the run to a key: it stays until the next
	evaluate      // replaced by the next evaluation's
	warning       // of the run's header: shown whole, at the chart's cost
)

// history bounds the points that are kept; beyond it every other one goes.
const history = 4096

// Add takes one record of metrics.jsonl.
func (s *State) Add(record any) {
	switch r := record.(type) {
	case report.Header:
		s.Header, s.End, s.Gone, s.Paused, s.memory = r, nil, false, false, report.Step{}
		s.pace.Start(r.Start)
		for _, w := range r.Warnings {
			s.add(warning, warned(w))
		}
		if r.Start == 0 {
			s.steps, s.loss, s.evals = nil, nil, nil
		}
	case report.Step:
		s.step(r)
	case report.Eval:
		s.Eval = &r
		if s.First == nil {
			s.First = &r
		}
		s.evals = append(s.evals, r.Step)
		s.add(evaluate, evaluated(r))
	case report.Progress:
		s.add(evaluate, fmt.Sprintf("evaluating step %d: %d%% of %s documents", r.Step, 100*r.Done/max(1, r.Of),
			report.Count(int64(r.Docs))))
	case report.Note:
		s.Paused = r.Paused
		s.add(answer, r.Text)
	case report.End:
		s.End = &r
		s.Say("finished: model in " + r.Output)
	}
}

// evaluated is an evaluation in one line.
func evaluated(e report.Eval) string {
	return fmt.Sprintf("evaluated step %d: %s", e.Step, e.Summary())
}

func (s *State) step(r report.Step) {
	if s.latest == nil {
		s.latest = map[string]float64{}
	}
	for l, v := range r.LossByLang {
		s.latest[l] = float64(v)
	}
	for len(s.steps) > 0 && s.steps[len(s.steps)-1] >= r.Step { // a resumed run records steps again
		s.steps = s.steps[:len(s.steps)-1]
		for l := range s.loss {
			s.loss[l] = s.loss[l][:len(s.steps)]
		}
	}
	if s.loss == nil {
		s.loss = map[string][]float64{}
	}
	for _, l := range s.Header.Languages {
		v, ok := r.LossByLang[l]
		if !ok {
			v = report.Float(math.NaN())
		}
		if s.loss[l] == nil {
			s.loss[l] = make([]float64, len(s.steps))
			for i := range s.loss[l] {
				s.loss[l][i] = math.NaN()
			}
		}
		s.loss[l] = append(s.loss[l], float64(v))
	}
	s.steps = append(s.steps, r.Step)
	if len(s.steps) > history {
		s.steps = halve(s.steps)
		for l := range s.loss {
			s.loss[l] = halve(s.loss[l])
		}
	}
	s.pace.Add(r)
	s.cosines.Add(r)
	s.Last, s.memory = r, r
}

func halve[T any](x []T) []T {
	out := x[:0]
	for i := 0; i < len(x); i += 2 {
		out = append(out, x[i])
	}
	return out
}

// Say adds a message; the latest few are shown.
func (s *State) Say(text string) { s.add(said, text) }

func (s *State) add(k kind, text string) {
	if last := len(s.messages) - 1; k == evaluate && last >= 0 && s.messages[last].kind == evaluate {
		s.messages = s.messages[:last]
	}
	s.messages = append(s.messages, message{text, k})
	if len(s.messages) > 50 {
		oldest := 0
		if s.messages[0].kind == answer && lastAnswer(s.messages[1:]) == nil {
			oldest = 1
		}
		s.messages = slices.Delete(s.messages, oldest, oldest+1)
	}
}

// lastAnswer is the latest answer among messages, or nothing.
func lastAnswer(messages []message) []message {
	for i := len(messages) - 1; i >= 0; i-- {
		if messages[i].kind == answer {
			return messages[i : i+1]
		}
	}
	return nil
}

// tail is the latest n messages, with the latest answer among them: records may come
// much faster than frames, and a user who pressed a key must see its effect.
func (s *State) tail(n int) []message {
	at := max(0, len(s.messages)-n)
	shown := s.messages[at:]
	if n < 1 || at == 0 || lastAnswer(shown) != nil {
		return shown
	}
	if a := lastAnswer(s.messages[:at]); a != nil {
		return slices.Concat(a, shown[1:])
	}
	return shown
}

// Key changes the screen: "left", "right", "?" and so on. It says whether it
// knew the key.
func (s *State) Key(key string) bool {
	n := max(1, len(s.Last.Buckets))
	switch key {
	case "left", "k":
		s.Bucket = (s.Bucket + n - 1) % n
	case "right", "j":
		s.Bucket = (s.Bucket + 1) % n
	case "?":
		s.Help = !s.Help
	default:
		return false
	}
	return true
}

// eta is the time that the steps to come will take, "" when it cannot be told.
func (s *State) eta() string {
	if left := s.pace.Left(s.Last); left > 0 {
		return report.Duration(left)
	}
	return ""
}
