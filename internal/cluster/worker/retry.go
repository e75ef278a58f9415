package worker

import (
	"context"
	"time"
)

// The pause between two attempts at something that may fail while machines come and go.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// Attempts paces attempts, for as long as the run's patience lasts.
type Attempts struct {
	began time.Time
	pause time.Duration
	said  string
}

// Again waits before another attempt, each time twice as long. It returns false when
// ctx has ended or patience is over.
func (a *Attempts) Again(ctx context.Context, patience time.Duration) bool {
	if a.began.IsZero() {
		a.began, a.pause = time.Now(), firstPause
	}
	if ctx.Err() != nil || time.Since(a.began) >= patience {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(a.pause):
	}
	a.pause = min(2*a.pause, lastPause)
	return true
}

// News says that text was not said of the last attempt: the same failure is told once.
func (a *Attempts) News(text string) bool {
	new := text != a.said
	a.said = text
	return new
}
