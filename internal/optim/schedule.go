package optim

import (
	"fmt"
	"math"
)

// Shape is that of the learning rate after the warm-up.
type Shape int

// The shapes.
const (
	Cosine Shape = iota
	Linear
	Constant
)

// Schedule is a learning rate as a pure function of the step: a linear warm-up
// to LR, then Shape down to MinRatio*LR, which the step after the last would have,
// as in transformers: no step of the run is made with a rate of 0.
type Schedule struct {
	Shape    Shape
	LR       float64 // the peak, ≥ 0
	MinRatio float64 // in [0, 1]; unused by Constant
	Warmup   int64   // steps, ≥ 0
	Total    int64   // steps of the run, ≥ 1
}

// Check returns an error for a schedule that makes no sense.
func (s Schedule) Check() error {
	switch {
	case s.Shape < Cosine || s.Shape > Constant:
		return fmt.Errorf("optim: unknown shape %d of a schedule", s.Shape)
	case !(s.LR >= 0) || math.IsInf(s.LR, 0):
		return fmt.Errorf("optim: learning rate %g must be finite and ≥ 0", s.LR)
	case !(s.MinRatio >= 0 && s.MinRatio <= 1):
		return fmt.Errorf("optim: min_ratio %g must be in [0, 1]", s.MinRatio)
	case s.Warmup < 0 || s.Total < 1:
		return fmt.Errorf("optim: warm-up of %d in %d steps", s.Warmup, s.Total)
	}
	return nil
}

// At is the learning rate of step, counted from 0. The first warm-up step has
// LR/Warmup and the last LR; n steps of decay have the parts 0/n … (n−1)/n of the
// way to MinRatio*LR. Steps from Total on have that.
func (s Schedule) At(step int64) float64 {
	if step < s.Warmup {
		return s.LR * float64(step+1) / float64(s.Warmup)
	}
	if s.Shape == Constant {
		return s.LR
	}
	progress := 1.0
	if step < s.Total {
		progress = float64(step-s.Warmup) / float64(s.Total-s.Warmup)
	}
	shape := 1 - progress // linear
	if s.Shape == Cosine {
		shape = (1 + math.Cos(math.Pi*progress)) / 2
	}
	return s.LR * (s.MinRatio + (1-s.MinRatio)*shape)
}
