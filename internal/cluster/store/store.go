// Package store keeps the few values that a run's coordinator must not forget: the committed step,
// the term of its leader, the workers' numbers, the authority of equal machines. It
// is small and written once a step; checkpoints and gradients never go through it.
//
// Memory is for tests, store/file is a transactional file in the run's folder,
// internal/cluster/etcd an etcd cluster. All pass the tests of store/storetest.
// Everything is safe for concurrent use.
package store

import (
	"context"
	"errors"
)

// ErrConflict says that a key, or a guard, has changed since it was read.
var ErrConflict = errors.New("changed by another coordinator")

// Guard is a condition of a Put: the key still has the revision.
type Guard struct {
	Key string
	Rev int64
}

// Store holds values by key, with revisions to compare and swap by.
type Store interface {
	// Get returns the value and its revision, 0 where there is none.
	Get(ctx context.Context, key string) (value []byte, rev int64, err error)
	// Put sets the value if the key still has revision rev (0: does not exist) and
	// all guards hold, in one transaction, and returns the new revision; otherwise
	// ErrConflict. After any other error it may have happened or not: read the key.
	Put(ctx context.Context, key string, value []byte, rev int64, guards ...Guard) (int64, error)
	// List returns all values whose keys begin with prefix.
	List(ctx context.Context, prefix string) (map[string][]byte, error)
	// Delete removes a key; that it is not there is no error.
	Delete(ctx context.Context, key string) error
	// Lead waits until this process leads and announces value to the others. lost
	// is closed when it leads no longer; resign hands over.
	Lead(ctx context.Context, value []byte) (lost <-chan struct{}, resign func(), err error)
	// Leader is the value that the present leader announced; nil where there is none.
	Leader(ctx context.Context) ([]byte, error)
	Close() error
}
