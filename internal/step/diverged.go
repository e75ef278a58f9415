package step

import (
	"math"

	"concord/bucket"
	"concord/internal/optim"
)

// LR is the learning rate of the update that follows n steps.
func (r *Replica) LR(n int) float64 { return r.Settings.Schedule.At(int64(n)) }

// Diverged refuses a step in which no language has a finite gradient of some group:
// methods mask such languages, and with all of them masked nothing but weight decay
// would go on.
func (r *Replica) Diverged(groups bucket.Report, supervised []int) error {
	tasks := supervisedTasks(supervised)
	for _, b := range groups.Buckets {
		if len(b.NonFinite) > 0 && len(b.NonFinite) >= tasks {
			return divergence(&optim.NonFiniteError{Step: r.Adam.Steps() + 1, Norm: math.NaN(), Bucket: b.Name})
		}
	}
	return nil
}

// supervisedTasks counts the languages that have supervised tokens.
func supervisedTasks(tokens []int) (n int) {
	for _, t := range tokens {
		if t > 0 {
			n++
		}
	}
	return n
}

// Divergence gives an update's error its kind.
func Divergence(err error) error { return divergence(err) }
