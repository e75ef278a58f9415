package optim

import (
	"math"
	"testing"
)

func TestSchedule(t *testing.T) {
	for _, c := range []struct {
		kind  string
		step  int64
		total int64
		want  float64
	}{
		{"constant", 0, 104, 0.5}, // a quarter of the warm-up
		{"constant", 3, 104, 2},
		{"constant", 1000, 104, 2},
		{"linear", 4, 105, 2},
		{"linear", 54, 105, 1.1},
		{"linear", 104, 105, 0.2},
		{"linear", 500, 105, 0.2},
		{"cosine", 4, 105, 2},
		{"cosine", 54, 105, 1.1},
		{"cosine", 29, 105, 0.2 + 1.8*(1+math.Sqrt2/2)/2},
		{"cosine", 104, 105, 0.2},
		{"cosine", 4, 5, 2}, // one step after warm-up
		{"cosine", 2, 3, 1.5},
	} {
		s := Schedule{Kind: c.kind, LR: 2, MinRatio: 0.1, Warmup: 4, Total: c.total}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		if got := s.At(c.step); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s at %d of %d is %v, want %v", c.kind, c.step, c.total, got, c.want)
		}
	}
	if got := (Schedule{Kind: "cosine", LR: 1, Total: 1}).At(0); got != 1 {
		t.Errorf("a single step has %v", got)
	}
}

func TestScheduleCheck(t *testing.T) {
	good := Schedule{Kind: "cosine", LR: 1, MinRatio: 0.1, Warmup: 0, Total: 10}
	for name, change := range map[string]func(*Schedule){
		"kind":   func(s *Schedule) { s.Kind = "step" },
		"lr":     func(s *Schedule) { s.LR = math.Inf(1) },
		"ratio":  func(s *Schedule) { s.MinRatio = 1.5 },
		"warmup": func(s *Schedule) { s.Warmup = -1 },
		"total":  func(s *Schedule) { s.Total = 0 },
	} {
		s := good
		change(&s)
		if s.Check() == nil {
			t.Errorf("bad %s is accepted", name)
		}
	}
}
