// Package checkpoint saves and restores folders of files so that a save is
// all or nothing. A checkpoint is a folder step-NNNNNNNN whose MANIFEST names
// every file with its size and SHA-256 and ends with a checksum of itself. It
// is written under a temporary name, synced, and renamed into place; whatever
// was cut short, at any byte, fails verification and an older checkpoint is
// used. What is in the files is the caller's business. One process writes to a
// folder at a time.
package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	manifestName = "MANIFEST"
	prefix       = "step-"
	tempPrefix   = ".tmp-"
)

// ErrNone says that a folder holds no usable checkpoint.
var ErrNone = errors.New("no usable checkpoint")

// File is one file of a checkpoint to be written.
type File struct {
	Name  string
	Write func(io.Writer) error
}

type entry struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Name is the folder name of the checkpoint at step.
func Name(step int) string { return fmt.Sprintf("%s%08d", prefix, step) }

// Save writes the checkpoint of step into dir and returns its path. An
// existing checkpoint of the same step is replaced. On error (a full disk, say)
// nothing that was there before is touched.
func Save(dir string, step int, files []File) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	final := filepath.Join(dir, Name(step))
	temp, err := os.MkdirTemp(dir, tempPrefix)
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	defer os.RemoveAll(temp) // after the rename there is nothing left to remove
	if err := writeAll(temp, files); err != nil {
		return "", fmt.Errorf("checkpoint: save %s: %w (the previous checkpoint is intact)", final, err)
	}
	if err := replace(temp, final); err != nil {
		return "", fmt.Errorf("checkpoint: save %s: %w (the previous checkpoint is intact)", final, err)
	}
	return final, nil
}

func writeAll(temp string, files []File) error {
	var entries []entry
	for _, f := range files {
		e, err := writeFile(filepath.Join(temp, f.Name), f.Write)
		if err != nil {
			return err
		}
		e.Name = f.Name
		entries = append(entries, e)
	}
	body, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	_, err = writeFile(filepath.Join(temp, manifestName), func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\n%s\n", body, hex.EncodeToString(sum[:]))
		return err
	})
	if err != nil {
		return err
	}
	syncDir(temp)
	return nil
}

func writeFile(path string, write func(io.Writer) error) (entry, error) {
	f, err := os.Create(path)
	if err != nil {
		return entry{}, err
	}
	defer f.Close()
	h := sha256.New()
	n := &counter{w: io.MultiWriter(f, h)}
	if err := write(n); err != nil {
		return entry{}, err
	}
	if err := f.Sync(); err != nil {
		return entry{}, err
	}
	return entry{Size: n.n, SHA256: hex.EncodeToString(h.Sum(nil))}, f.Close()
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// replace renames temp to final; an existing final is moved aside first,
// because a folder cannot be renamed over a non-empty one.
func replace(temp, final string) error {
	old := ""
	if _, err := os.Stat(final); err == nil {
		old = filepath.Join(filepath.Dir(final), tempPrefix+"old-"+filepath.Base(final))
		os.RemoveAll(old)
		if err := os.Rename(final, old); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, final); err != nil {
		if old != "" {
			return errors.Join(err, os.Rename(old, final))
		}
		return err
	}
	syncDir(filepath.Dir(final))
	if old != "" {
		return os.RemoveAll(old)
	}
	return nil
}

// syncDir makes the names in dir durable where the system can (Windows cannot
// open folders for syncing, and journals renames itself).
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // not supported everywhere; the data itself is synced
		d.Close()
	}
}

// Verify checks that the checkpoint at path is whole.
func Verify(path string) error {
	b, err := os.ReadFile(filepath.Join(path, manifestName))
	if err != nil {
		return fmt.Errorf("checkpoint: %s: no manifest: %w", path, err)
	}
	body, sum, ok := bytes.Cut(b, []byte("\n"))
	want := sha256.Sum256(body)
	if !ok || string(sum) != hex.EncodeToString(want[:])+"\n" {
		return fmt.Errorf("checkpoint: %s: the manifest is damaged", path)
	}
	var entries []entry
	if err := json.Unmarshal(body, &entries); err != nil {
		return fmt.Errorf("checkpoint: %s: the manifest is damaged: %w", path, err)
	}
	for _, e := range entries {
		if err := verifyFile(filepath.Join(path, e.Name), e); err != nil {
			return fmt.Errorf("checkpoint: %s: %w", path, err)
		}
	}
	return nil
}

func verifyFile(path string, e entry) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	if n != e.Size || hex.EncodeToString(h.Sum(nil)) != e.SHA256 {
		return fmt.Errorf("%s is damaged (%d bytes, %d were saved)", e.Name, n, e.Size)
	}
	return nil
}

// List returns the steps that have a folder in dir, newest first, verified or not.
func List(dir string) ([]int, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	var steps []int
	for _, d := range names {
		if s, ok := strings.CutPrefix(d.Name(), prefix); ok && d.IsDir() {
			if n, err := strconv.Atoi(s); err == nil {
				steps = append(steps, n)
			}
		}
	}
	slices.SortFunc(steps, func(a, b int) int { return b - a })
	return steps, nil
}

// Latest returns the newest whole checkpoint in dir and why newer ones were
// passed over. The error is ErrNone when there is none.
func Latest(dir string) (path string, step int, skipped []error, err error) {
	steps, err := List(dir)
	if err != nil {
		return "", 0, nil, err
	}
	for _, s := range steps {
		p := filepath.Join(dir, Name(s))
		if err := Verify(p); err != nil {
			skipped = append(skipped, err)
			continue
		}
		return p, s, skipped, nil
	}
	return "", 0, skipped, fmt.Errorf("checkpoint: %s: %w", dir, ErrNone)
}

// Prune removes all but the newest keep checkpoints and those in spare, and
// what interrupted saves left behind.
func Prune(dir string, keep int, spare ...int) error {
	steps, err := List(dir)
	if err != nil {
		return err
	}
	for i, s := range steps {
		if i < keep || slices.Contains(spare, s) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, Name(s))); err != nil {
			return fmt.Errorf("checkpoint: prune: %w", err)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, tempPrefix+"*"))
	if err != nil {
		return fmt.Errorf("checkpoint: prune: %w", err)
	}
	for _, p := range left {
		if err := os.RemoveAll(p); err != nil {
			return fmt.Errorf("checkpoint: prune: %w", err)
		}
	}
	return nil
}
