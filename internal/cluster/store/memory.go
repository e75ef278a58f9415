package store

import (
	"bytes"
	"context"
	"strings"
	"sync"
)

// Memory is a Store within a process.
type Memory struct {
	mu     sync.Mutex
	values map[string]entry
	rev    int64
	lead   chan struct{} // holds a token while nobody leads
	leader []byte
}

type entry struct {
	value []byte
	rev   int64
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	m := &Memory{values: map[string]entry{}, lead: make(chan struct{}, 1)}
	m.lead <- struct{}{}
	return m
}

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

// Lead implements Store.
func (m *Memory) Lead(ctx context.Context, value []byte) (<-chan struct{}, func(), error) {
	select {
	case <-m.lead:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	m.mu.Lock()
	m.leader = bytes.Clone(value)
	m.mu.Unlock()
	lost := make(chan struct{})
	return lost, sync.OnceFunc(func() {
		m.mu.Lock()
		m.leader = nil
		m.mu.Unlock()
		close(lost)
		m.lead <- struct{}{}
	}), nil
}

// Leader implements Store.
func (m *Memory) Leader(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.leader), nil
}

// Close implements Store.
func (m *Memory) Close() error { return nil }
