package store

import (
	"bytes"
	"context"
	"strings"
	"sync"
)

// Memory is a Store within a process.
type Memory struct {
	*Election
	mu     sync.Mutex
	values map[string]entry
	rev    int64
}

type entry struct {
	value []byte
	rev   int64
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{Election: NewElection(), values: map[string]entry{}} }

// Get implements Store.
func (m *Memory) Get(_ context.Context, key string) ([]byte, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.values[key]
	return bytes.Clone(e.value), e.rev, nil
}

// Put implements Store.
func (m *Memory) Put(_ context.Context, key string, value []byte, rev int64, guards ...Guard) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range append(guards, Guard{key, rev}) {
		if m.values[g.Key].rev != g.Rev {
			return 0, ErrConflict
		}
	}
	m.rev++
	m.values[key] = entry{bytes.Clone(value), m.rev}
	return m.rev, nil
}

// List implements Store.
func (m *Memory) List(_ context.Context, prefix string) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string][]byte{}
	for k, e := range m.values {
		if strings.HasPrefix(k, prefix) {
			out[k] = bytes.Clone(e.value)
		}
	}
	return out, nil
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }

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
