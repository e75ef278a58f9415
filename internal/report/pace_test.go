package report

import (
	"math"
	"testing"
	"time"
)

// The time left follows from seconds a step: the first step, which compiles kernels,
// does not count once there is another, padding changes nothing, and a record of many
// steps (between two exchanges) is that many, after a resume too.
func TestPace(t *testing.T) {
	var p Pace
	p.Add(Step{Step: 1, Steps: 100, Tokens: 10, Seconds: 30})
	for s := 2; s <= 50; s++ {
		p.Add(Step{Step: s, Steps: 100, Tokens: 100 + s%7, Seconds: 0.5})
	}
	if left := p.Left(Step{Step: 50, Steps: 100}); left != 25*time.Second || math.Abs(p.Tokens-206) > 8 {
		t.Errorf("%v left, %v tokens a second", left, p.Tokens)
	}
	if p.Left(Step{Step: 100, Steps: 100}) != 0 {
		t.Error("time left after the last step")
	}
	var rounds Pace
	rounds.Start(40)
	for s := 60; s <= 100; s += 20 {
		rounds.Add(Step{Step: s, Steps: 200, Tokens: 2000, Seconds: 10})
	}
	if left := rounds.Left(Step{Step: 100, Steps: 200}); left != 50*time.Second || rounds.Seconds != 0.5 || rounds.Tokens != 200 {
		t.Errorf("rounds: %v left, %+v", left, rounds)
	}
}
