package storetest

import (
	"bytes"
	"context"
	"strings"
	"sync"

	"concord/internal/cluster/store"
)

// Memory is a store.Store within a process.
type Memory struct {
	*store.Election
	mu     sync.Mutex
	values map[string]entry
	rev    int64
}

type entry struct {
	value []byte
	rev   int64
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{Election: store.NewElection(), values: map[string]entry{}} }

// Get implements store.Store.
func (m *Memory) Get(_ context.Context, key string) ([]byte, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.values[key]
	return bytes.Clone(e.value), e.rev, nil
}

// Put implements store.Store.
func (m *Memory) Put(_ context.Context, key string, value []byte, rev int64, guards ...store.Guard) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range append(guards, store.Guard{Key: key, Rev: rev}) {
		if m.values[g.Key].rev != g.Rev {
			return 0, store.ErrConflict
		}
	}
	m.rev++
	m.values[key] = entry{bytes.Clone(value), m.rev}
	return m.rev, nil
}

// List implements store.Store.
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

// Delete implements store.Store.
func (m *Memory) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}

// Close implements store.Store.
func (m *Memory) Close() error { return nil }
