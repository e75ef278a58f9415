package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"concord/internal/cluster/protocol"
	"concord/transport"
)

// Files say where the run's files are to lie and where they may be found.
type Files struct {
	Dir string // where they come to lie
	// Have are folders with files that may be of the run, under any names: those are
	// known by their content and not sent.
	Have []string
	Say  func(protocol.File) // called for every file that is sent; nil: nothing is
}

// Fetch brings the run's files into o.Dir and verifies them by their hashes. A content
// that is on this machine already is not sent again.
func (w *Joined) Fetch(ctx context.Context, o Files) error {
	have := bySize(o.Have)
	for _, f := range w.Welcome.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) || protocol.Plain(f.Name) != f.Name || f.Size < 0 {
			return fmt.Errorf("%w: a file called %q, of %d bytes", transport.ErrFrame, f.Name, f.Size)
		}
		path := filepath.Join(o.Dir, filepath.FromSlash(f.Name))
		if sum, err := hashFile(path); err == nil && sum == f.Hash {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if adopt(f, path, have[f.Size]) {
			continue
		}
		if o.Say != nil {
			o.Say(f)
		}
		if err := w.fetch(ctx, f, path); err != nil {
			return fmt.Errorf("%s from the coordinator: %w", f.Name, err)
		}
	}
	return nil
}

// bySize lists the files in folders, not in folders of these.
func bySize(folders []string) map[int64][]string {
	out := map[int64][]string{}
	for _, dir := range folders {
		entries, _ := os.ReadDir(dir) // a folder that cannot be read has nothing to give
		for _, e := range entries {
			path := filepath.Join(dir, e.Name())
			if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() { // the target of a link, too
				out[st.Size()] = append(out[st.Size()], path)
			}
		}
	}
	return out
}

// adopt makes path a link to the candidate that has f's content, or a copy of it, and
// reports whether there is one.
func adopt(f protocol.File, path string, candidates []string) bool {
	for _, c := range candidates {
		if sum, err := hashFile(c); err != nil || sum != f.Hash || c == path {
			continue
		}
		if full, err := filepath.EvalSymlinks(c); err == nil {
			c = full
		}
		os.Remove(path)
		if os.Link(c, path) == nil {
			return true
		}
		if in, err := os.Open(c); err == nil {
			err := place(path, f, func(w io.Writer) error { _, err := io.Copy(w, in); return err })
			in.Close()
			if err == nil {
				return true
			}
		}
	}
	return false
}

// fetch has machine 1 send a file.
func (w *Joined) fetch(ctx context.Context, f protocol.File, path string) error {
	return place(path, f, func(to io.Writer) error { return w.Member.Fetch(ctx, f.Name, f.Size, to) })
}

// place makes path the file that write writes, if it is f.
func place(path string, f protocol.File, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	h := sha256.New()
	if err = errors.Join(write(io.MultiWriter(tmp, h)), tmp.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.Hash {
		return fmt.Errorf("%w: SHA-256 %s, not %s: the file has changed on machine 1 since the run began", transport.ErrDamaged, got[:12],
			f.Hash[:min(12, len(f.Hash))])
	}
	return os.Rename(tmp.Name(), path)
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.IsDir() {
		return "", fs.ErrInvalid
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
