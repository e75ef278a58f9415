// Package file is the store of a run with one coordinator: a transactional file
// (bbolt) in the run's folder. It opens no port; its lock, which the operating
// system takes back when the process ends, lets one process in.
package file

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"concord/internal/cluster/store"
)

// name is the file in the folder that Open is given.
const name = "store.db"

// room is the space that must be free on the disk before a change is made. The file takes some
// kB; the rest is for the run's records, which end the run when they cannot be written.
// A commit is tried again.
const room = 16 << 20

// lockWait is how long another process may take to close the file.
const lockWait = 2 * time.Second

// values is the bucket of all keys. A value is its revision, 8 bytes, and its bytes;
// the bucket's sequence counts revisions.
var values = []byte("values")

// file is a store.Store. Elections are among the users of this one value, as no other
// process can open the file.
type file struct {
	db   *bbolt.DB
	path string
	*store.Election
}

// Open opens the store in dir, or makes it. A change is on the disk before it is
// acknowledged. While less than 16 MB of the disk are free, changes are refused and
// values can be read; one that meets a full disk leaves everything as it was.
func Open(dir string) (store.Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "etcd")); err == nil {
		return nil, fmt.Errorf("store: %s was written by a version of concord that kept an etcd in it\n  fix: finish the run with that "+
			"version, or begin a new one from its last checkpoint's model", dir)
	}
	if err := space(dir); err != nil {
		return nil, err
	}
	s := &file{path: filepath.Join(dir, name), Election: store.NewElection()}
	_, missing := os.Stat(s.path)
	err := s.guard(func() (err error) {
		if s.db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: lockWait}); err != nil {
			return err
		}
		return s.db.Update(func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucketIfNotExists(values)
			return err
		})
	})
	if err == nil {
		return s, nil
	}
	if s.db != nil {
		s.db.Close()
	}
	if missing != nil && !errors.Is(err, berrors.ErrTimeout) {
		os.Remove(s.path) // half a file would not be taken up again
	}
	return nil, err
}

// space is why nothing may be put into a store in dir now, nil if there is room.
func space(dir string) error {
	free, err := freeBytes(dir)
	if err != nil || free >= room {
		return nil // a full disk shows itself
	}
	return fmt.Errorf("store: %.1f MB are free in %s, %d MB are needed: make room", float64(free)/1e6, dir, room/1_000_000)
}

// guard runs f and says of an error which file it concerns and how to mend it. Damage
// that bbolt meets with a panic, and a mapped file that was cut short, are errors too.
func (s *file) guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = s.damaged(fmt.Sprint(p))
		}
	}()
	switch err = f(); {
	case err == nil, errors.Is(err, store.ErrConflict):
		return err
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("store: %s is in use by another process\n  fix: stop it: a run has one coordinator", s.path)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("store: %s: %w: make room on its disk", s.path, err)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return s.damaged(err.Error())
	}
	return fmt.Errorf("store: %s: %w", s.path, err)
}

func (s *file) damaged(why string) error {
	return fmt.Errorf("store: %s is damaged (%s)\n  fix: put a copy of it back, or begin a new run from the last checkpoint's model",
		s.path, why)
}

// Get implements store.Store.
func (s *file) Get(_ context.Context, key string) (value []byte, rev int64, err error) {
	err = s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			value, rev = split(tx.Bucket(values).Get([]byte(key)))
			return nil
		})
	})
	return value, rev, err
}

// split copies a value out of the mapped file; revision 0 is of a key that is not there.
func split(b []byte) (value []byte, rev int64) {
	if len(b) < 8 {
		return nil, 0
	}
	return bytes.Clone(b[8:]), int64(binary.BigEndian.Uint64(b))
}

// Put implements store.Store.
func (s *file) Put(_ context.Context, key string, value []byte, rev int64, guards ...store.Guard) (now int64, err error) {
	if err := space(filepath.Dir(s.path)); err != nil {
		return 0, err
	}
	return s.put(key, value, rev, guards)
}

// put is Put however little of the disk is free.
func (s *file) put(key string, value []byte, rev int64, guards []store.Guard) (now int64, err error) {
	err = s.guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			b := tx.Bucket(values)
			for _, g := range append(slices.Clone(guards), store.Guard{Key: key, Rev: rev}) {
				if _, at := split(b.Get([]byte(g.Key))); at != g.Rev {
					return store.ErrConflict
				}
			}
			n, err := b.NextSequence()
			if err != nil {
				return err
			}
			now = int64(n)
			return b.Put([]byte(key), append(binary.BigEndian.AppendUint64(nil, n), value...))
		})
	})
	if err != nil {
		return 0, err
	}
	return now, nil
}

// List implements store.Store.
func (s *file) List(_ context.Context, prefix string) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := s.guard(func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			c := tx.Bucket(values).Cursor()
			for k, v := c.Seek([]byte(prefix)); k != nil && bytes.HasPrefix(k, []byte(prefix)); k, v = c.Next() {
				out[string(k)], _ = split(v)
			}
			return nil
		})
	})
	return out, err
}

// Delete implements store.Store.
func (s *file) Delete(_ context.Context, key string) error {
	if err := space(filepath.Dir(s.path)); err != nil {
		return err
	}
	return s.guard(func() error {
		return s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(values).Delete([]byte(key)) })
	})
}

// Close implements store.Store.
func (s *file) Close() error { return s.guard(s.db.Close) }
