package optim

import (
	"math"
	"testing"
)

func TestSchedule(t *testing.T) {
	for _, c := range []struct {
		kind  Shape
		step  int64
		total int64
		want  float64
	}{
		{Constant, 0, 104, 0.5}, // a quarter of the warm-up
		{Constant, 3, 104, 2},
		{Constant, 1000, 104, 2},
		{Linear, 4, 104, 2},
		{Linear, 54, 104, 1.1},
		{Linear, 103, 104, 0.2 + 1.8*0.01}, // the last step is one part above the end
		{Linear, 104, 104, 0.2},
		{Linear, 500, 104, 0.2},
		{Cosine, 4, 104, 2},
		{Cosine, 54, 104, 1.1},
		{Cosine, 29, 104, 0.2 + 1.8*(1+math.Sqrt2/2)/2},
		{Cosine, 104, 104, 0.2},
		{Cosine, 4, 5, 2}, // one step after warm-up
		{Cosine, 5, 6, 1.1},
		{Cosine, 2, 3, 1.5},
	} {
		s := Schedule{Shape: c.kind, LR: 2, MinRatio: 0.1, Warmup: 4, Total: c.total}
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		if got := s.At(c.step); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("shape %d at %d of %d is %v, want %v", c.kind, c.step, c.total, got, c.want)
		}
	}
	if got := (Schedule{Shape: Cosine, LR: 1, Total: 1}).At(0); got != 1 {
		t.Errorf("a single step has %v", got)
	}
}

// As transformers' get_linear_schedule_with_warmup and
// get_cosine_schedule_with_warmup after warm-up: two steps are 1 and 1/2, and no step
// has rate 0.
func TestNoStepIsThrownAway(t *testing.T) {
	for kind, want := range map[Shape][]float64{Linear: {1, 0.75, 0.5, 0.25},
		Cosine: {1, 0.8535533905932737, 0.5, 0.14644660940672624}, Constant: {1, 1, 1, 1}} {
		for i, w := range want {
			if got := (Schedule{Shape: kind, LR: 1, Total: 4}).At(int64(i)); math.Abs(got-w) > 1e-12 {
				t.Errorf("shape %d, step %d of 4: %v, want %v", kind, i, got, w)
			}
		}
		if got := (Schedule{Shape: kind, LR: 1, Total: 2}).At(1); got < 0.4999 {
			t.Errorf("shape %d, step 1 of 2: %v", kind, got)
		}
		for _, warmup := range []int64{0, 1, 3, 9} {
			for total := range int64(8) {
				for step := range total {
					if s := (Schedule{Shape: kind, LR: 1, Warmup: warmup, Total: total}); !(s.At(step) > 0) {
						t.Errorf("%+v has rate %v in step %d", s, s.At(step), step)
					}
				}
			}
		}
	}
}

func TestScheduleCheck(t *testing.T) {
	good := Schedule{Shape: Cosine, LR: 1, MinRatio: 0.1, Warmup: 0, Total: 10}
	for name, change := range map[string]func(*Schedule){
		"shape":  func(s *Schedule) { s.Shape = Constant + 1 },
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
