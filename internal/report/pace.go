package report

import "time"

// Pace is the speed of a run: exponential means over its steps. The zero Pace is
// that of a run before its first step.
type Pace struct {
	Tokens  float64 // per second, padding not counted
	Seconds float64 // per step
	last    int     // step of the latest record
	seen    int     // records
}

// Start says that a record of step was the latest before those to come.
func (p *Pace) Start(step int) { p.last = step }

// Add takes the next record, which is of one step, or of all that were made between
// two exchanges.
func (p *Pace) Add(s Step) {
	steps := max(1, s.Step-p.last)
	p.last = s.Step
	if !(s.Seconds > 0) {
		return
	}
	tokens, seconds := float64(s.Tokens)/s.Seconds, s.Seconds/float64(steps)
	if p.seen < 2 { // the first step also compiles kernels
		p.Tokens, p.Seconds = tokens, seconds
	}
	p.seen++
	p.Tokens += 0.1 * (tokens - p.Tokens)
	p.Seconds += 0.1 * (seconds - p.Seconds)
}

// Left is the time that the steps after s will take; 0 when it cannot be told.
func (p *Pace) Left(s Step) time.Duration {
	return time.Duration(float64(max(0, s.Steps-s.Step)) * p.Seconds * float64(time.Second))
}
