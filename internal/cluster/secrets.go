package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"concord/transport"
)

// Secrets are the join secrets and revocations of a run, one file each in a
// folder that only its user can read: concord invite and concord revoke write
// there while the coordinator runs. Each file has one writer: the coordinator counts uses
// in a secret's file, revoke ends the secret by a file of its own.
type Secrets struct {
	dir string
	mu  sync.Mutex
}

// secret is the join secret of an id.
type secret struct {
	Secret  []byte    `json:"secret"`
	Expires time.Time `json:"expires"` // zero: never
	Uses    int       `json:"uses"`    // left; −1: any number
	Workers []uint32  `json:"workers"` // that it has admitted
}

// OpenSecrets uses the folder dir, which it makes.
func OpenSecrets(dir string) (*Secrets, error) {
	for _, sub := range []string{"secrets", "ended", "revoked"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	return &Secrets{dir: dir}, nil
}

// New makes a secret that admits uses machines (−1: any number) until it
// expires.
func (s *Secrets) New(valid time.Duration, uses int) (id string, value []byte, expires time.Time, err error) {
	id, value = transport.NewSecret()
	expires = time.Now().Add(valid).Truncate(time.Second)
	return id, value, expires, s.write(id, secret{Secret: value, Expires: expires, Uses: uses})
}

func (s *Secrets) path(id string) string { return filepath.Join(s.dir, "secrets", id+".json") }

func (s *Secrets) write(id string, x secret) error {
	b, err := json.Marshal(x)
	if err != nil {
		return err
	}
	return writeFile(s.path(id), b)
}

// writeFile writes a file that only its user reads, at once or not at all.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (s *Secrets) read(id string) (x secret, ok bool) {
	if id == "" || strings.ContainsAny(id, `/\.:`) {
		return x, false
	}
	b, err := os.ReadFile(s.path(id))
	if err != nil || json.Unmarshal(b, &x) != nil {
		return x, false
	}
	return x, x.Uses != 0 && !s.ended(id) && (x.Expires.IsZero() || time.Now().Before(x.Expires))
}

// ended says that a revocation has ended the secret of an id. Where that cannot be seen
// the secret admits nobody.
func (s *Secrets) ended(id string) bool {
	_, err := os.Lstat(filepath.Join(s.dir, "ended", id))
	return !errors.Is(err, fs.ErrNotExist)
}

// Lookup is the secret of an id while it may be used.
func (s *Secrets) Lookup(id string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.read(id)
	return x.Secret, ok
}

// Use counts one use, by which a worker is admitted.
func (s *Secrets) Use(id string, worker uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, ok := s.read(id)
	if !ok {
		return fmt.Errorf("%w: secret %q is used up", transport.ErrProof, id)
	}
	x.Workers = append(x.Workers, worker)
	if x.Uses > 0 {
		x.Uses--
	}
	if err := s.write(id, x); err != nil {
		return err
	}
	if s.ended(id) { // meanwhile
		return fmt.Errorf("%w: secret %q is revoked", transport.ErrProof, id)
	}
	return nil
}

// Revoke marks a worker's certificate as worth nothing, and ends the join lines by
// which it came: it could join anew. It returns how many of them could still be used;
// machines that they have admitted stay.
func (s *Secrets) Revoke(worker uint32) (ended int, err error) {
	if err := writeFile(filepath.Join(s.dir, "revoked", strconv.FormatUint(uint64(worker), 10)), nil); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	files, err := filepath.Glob(s.path("*"))
	for _, f := range files {
		id := strings.TrimSuffix(filepath.Base(f), ".json")
		x, usable := s.read(id)
		if !usable || !slices.Contains(x.Workers, worker) {
			continue
		}
		ended++
		err = errors.Join(err, writeFile(filepath.Join(s.dir, "ended", id), nil))
	}
	return ended, err
}

// Revoked lists the revoked workers.
func (s *Secrets) Revoked() []uint32 {
	entries, err := os.ReadDir(filepath.Join(s.dir, "revoked"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var out []uint32
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 32); err == nil {
			out = append(out, uint32(n))
		}
	}
	return out
}
