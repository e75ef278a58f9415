// Package checkpoint saves and restores folders of files so that a save is
// all or nothing. A checkpoint is a folder step-NNNNNNNN whose MANIFEST names
// every file with its size and SHA-256 and ends with a checksum of itself. It
// is written under a temporary name, synced, and renamed into place; a save that
// was cut short, at any byte, fails verification and an older checkpoint is
// used. The content of the files is the caller's business. One process writes to a
// folder at a time.
package checkpoint

import (
	"bytes"
	"cmp"
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

// folder is one checkpoint's folder. A step that is saved again, after a resume
// say, gets a new folder with a higher attempt: nothing is ever overwritten.
type folder struct{ step, attempt int }

func (f folder) name() string {
	if f.attempt == 0 {
		return fmt.Sprintf("%s%08d", prefix, f.step)
	}
	return fmt.Sprintf("%s%08d.%d", prefix, f.step, f.attempt)
}

// parse is the inverse of name.
func parse(name string) (f folder, ok bool) {
	s, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return f, false
	}
	step, attempt, again := strings.Cut(s, ".")
	var err1, err2 error
	f.step, err1 = strconv.Atoi(step)
	if again {
		f.attempt, err2 = strconv.Atoi(attempt)
	}
	return f, err1 == nil && err2 == nil && f.name() == name
}

// Name is the name of the folder that step is first saved in.
func Name(step int) string { return folder{step: step}.name() }

// Save writes the checkpoint of step into dir and returns its path. On error (a
// full disk, say) nothing that was there before is touched.
func Save(dir string, step int, files []File) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	all, err := list(dir)
	if err != nil {
		return "", err
	}
	to := folder{step: step}
	for _, f := range all {
		if f.step == step && f.attempt >= to.attempt {
			to.attempt = f.attempt + 1
		}
	}
	final := filepath.Join(dir, to.name())
	temp, err := os.MkdirTemp(dir, tempPrefix)
	if err != nil {
		return "", fmt.Errorf("checkpoint: %w", err)
	}
	defer os.RemoveAll(temp) // after the rename there is nothing left to remove
	err = writeAll(temp, files)
	if err == nil {
		err = os.Rename(temp, final)
	}
	if err != nil {
		return "", fmt.Errorf("checkpoint: save %s: %w (what was saved before is intact)", final, err)
	}
	syncDir(dir)
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

// syncDir makes the names in dir durable where the system can (Windows cannot
// open folders for syncing, and journals renames itself).
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // not supported everywhere; the data itself is synced
		d.Close()
	}
}

// Verify checks that the checkpoint at path is whole, every byte.
func Verify(path string) error {
	return verify(path, verifyContent)
}

func verify(path string, file func(path string, e entry) error) error {
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
		if err := file(filepath.Join(path, e.Name), e); err != nil {
			return fmt.Errorf("checkpoint: %s: %w", path, err)
		}
	}
	return nil
}

func verifyContent(path string, e entry) error {
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

// verifySize is verifyContent without reading: a save that was cut short,
// or a lost file, fails.
func verifySize(path string, e entry) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.Size() != e.Size {
		return fmt.Errorf("%s is damaged (%d bytes, %d were saved)", e.Name, st.Size(), e.Size)
	}
	return nil
}

// list returns the checkpoints in dir, newest first, whole or not.
func list(dir string) ([]folder, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	var out []folder
	for _, d := range names {
		if f, ok := parse(d.Name()); ok && d.IsDir() {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b folder) int {
		return cmp.Or(cmp.Compare(b.step, a.step), cmp.Compare(b.attempt, a.attempt))
	})
	return out, nil
}

// Latest returns the newest whole checkpoint in dir and why newer ones were
// passed over. The error is ErrNone when there is none.
func Latest(dir string) (path string, step int, skipped []error, err error) {
	all, err := list(dir)
	if err != nil {
		return "", 0, nil, err
	}
	for _, f := range all {
		p := filepath.Join(dir, f.name())
		if err := Verify(p); err != nil {
			skipped = append(skipped, err)
			continue
		}
		return p, f.step, skipped, nil
	}
	return "", 0, skipped, fmt.Errorf("checkpoint: %s: %w", dir, ErrNone)
}

// At returns the newest whole checkpoint of a step, or ErrNone.
func At(dir string, step int) (string, error) {
	all, err := list(dir)
	if err != nil {
		return "", err
	}
	for _, f := range all {
		if p := filepath.Join(dir, f.name()); f.step == step && Verify(p) == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("checkpoint: %s: step %d: %w", dir, step, ErrNone)
}

// Prune removes all but the newest keep checkpoints, saved (the path of the one
// just written) and those of the steps in spare; earlier attempts at the same
// step; damaged ones; and the remains of interrupted saves. Only checkpoints
// that are whole count towards keep. saved is never removed.
func Prune(dir string, keep int, saved string, spare ...int) error {
	all, err := list(dir)
	if err != nil {
		return err
	}
	kept := map[int]bool{}
	for _, f := range all {
		p := filepath.Join(dir, f.name())
		wanted := len(kept) < keep || slices.Contains(spare, f.step)
		if p == saved || wanted && !kept[f.step] && verify(p, verifySize) == nil {
			kept[f.step] = true
			continue
		}
		if err := os.RemoveAll(p); err != nil {
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
