package store

import (
	"bytes"
	"context"
	"sync"
)

// Election is the election of a store that one process has to itself.
type Election struct {
	mu     sync.Mutex
	vacant chan struct{} // holds a token while nobody leads
	leader []byte
}

// NewElection returns one in which nobody leads.
func NewElection() *Election {
	e := &Election{vacant: make(chan struct{}, 1)}
	e.vacant <- struct{}{}
	return e
}

// Lead implements Store.
func (e *Election) Lead(ctx context.Context, value []byte) (<-chan struct{}, func(), error) {
	select {
	case <-e.vacant:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	e.announce(value)
	lost := make(chan struct{})
	return lost, sync.OnceFunc(func() {
		e.announce(nil)
		close(lost)
		e.vacant <- struct{}{}
	}), nil
}

func (e *Election) announce(value []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leader = bytes.Clone(value)
}

// Leader implements Store.
func (e *Election) Leader(context.Context) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return bytes.Clone(e.leader), nil
}
