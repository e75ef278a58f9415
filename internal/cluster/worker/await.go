package worker

import (
	"context"
	"time"
)

// wake has all that wait for m.changed look again.
func (m *Member) wake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed.Broadcast()
}

// endWith wakes the waits for m.changed when ctx ends; stop undoes it.
func (m *Member) endWith(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, m.wake)
}

// await waits, with the mutex, until there says so, this machine can do no
// more, ctx has ended or the time is over.
func (m *Member) await(ctx context.Context, limit time.Duration, there func() bool) {
	defer m.endWith(ctx)()
	end := time.Now().Add(limit)
	timer := time.AfterFunc(limit, m.wake)
	defer timer.Stop()
	for !there() && m.over() == nil && ctx.Err() == nil && time.Now().Before(end) {
		m.changed.Wait()
	}
}

// during is a context that ends when holds says so no longer, or this machine can do no more.
// holds is called with the mutex, after every change. end ends it earlier.
func (m *Member) during(ctx context.Context, holds func() bool) (_ context.Context, end context.CancelFunc) {
	ctx, end = context.WithCancel(ctx)
	m.spawn(func() {
		defer end()
		defer m.endWith(ctx)()
		m.mu.Lock()
		defer m.mu.Unlock()
		for holds() && m.over() == nil && ctx.Err() == nil {
			m.changed.Wait()
		}
	})
	return ctx, end
}
