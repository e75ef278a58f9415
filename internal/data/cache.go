package data

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// cacheFrom is the size in bytes of the data from which its tokens are kept for the
// next run: less is tokenised anew in a moment. Tests lower it.
var cacheFrom = int64(16 << 20)

// cacheDays is how long tokens that no run opens are kept.
const cacheDays = 30

// tokenVersion changes with the form of token files and with anything that changes
// their content for the same input.
const tokenVersion = 2

// tokens opens the token files of the set, made before or now.
func (f *fileSet) tokens(enc *encoder, dir string) (*tokenFile, error) {
	if dir == "" || !f.large() {
		return f.temporary(enc)
	}
	key, err := f.key(enc)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, key)
	if t := openCached(path); t != nil {
		return t, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return f.temporary(enc) // a folder that cannot be written to: nothing is kept
	}
	return f.keep(enc, path)
}

// large reports whether the files are worth keeping their tokens.
func (f *fileSet) large() bool {
	sum := int64(0)
	for _, p := range f.paths {
		if st, err := os.Stat(p); err == nil {
			sum += st.Size()
		}
	}
	return sum >= cacheFrom
}

// temporary makes token files that nobody else sees.
func (f *fileSet) temporary(enc *encoder) (*tokenFile, error) {
	w, open, err := tempTokens()
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	if err := f.tokenise(enc, w); err != nil {
		return nil, err
	}
	w.sum.Files = f.paths
	if err := w.close(false); err != nil {
		return nil, fmt.Errorf("data: tokens of %s: %w", strings.Join(f.paths, ", "), err)
	}
	return open()
}

// keep makes token files at path: whole, or not at all.
func (f *fileSet) keep(enc *encoder, path string) (*tokenFile, error) {
	prune(filepath.Dir(path))
	var tmp [2]*os.File
	for i, suffix := range []string{idsSuffix, docsSuffix} {
		file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*"+suffix+".tmp")
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		tmp[i] = file
		defer os.Remove(file.Name())
		defer file.Close()
	}
	w := newTokenWriter(tmp[0], tmp[1])
	if err := f.tokenise(enc, w); err != nil {
		return nil, err
	}
	w.sum.Files = f.paths
	err := errors.Join(w.close(true), tmp[0].Close(), tmp[1].Close())
	for i, suffix := range []string{idsSuffix, docsSuffix} { // the documents last: they name the length of the ids
		if err == nil {
			err = os.Rename(tmp[i].Name(), path+suffix)
		}
	}
	if t := openCached(path); t != nil { // ours, or another process's
		return t, nil
	}
	return nil, fmt.Errorf("data: tokens of %s cannot be kept in %s: %w", strings.Join(f.paths, ", "), filepath.Dir(path), errOr(err, "they cannot be read back"))
}

// openCached opens kept token files, nil if there are none that are whole.
func openCached(path string) *tokenFile {
	ids, err := os.Open(path + idsSuffix)
	if err != nil {
		return nil
	}
	docs, err := os.Open(path + docsSuffix)
	if err != nil {
		ids.Close()
		return nil
	}
	t, err := openTokens(path, ids, docs)
	if err != nil {
		ids.Close()
		docs.Close()
		return nil
	}
	now := time.Now()
	os.Chtimes(path+docsSuffix, now, now) // in use: see prune
	return t
}

// prune removes token files that no run has opened for a long time.
func prune(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < cacheDays*24*time.Hour {
			continue
		}
		name := e.Name()
		switch {
		case strings.HasSuffix(name, docsSuffix):
			os.Remove(filepath.Join(dir, name))
			os.Remove(filepath.Join(dir, strings.TrimSuffix(name, docsSuffix)+idsSuffix))
		case strings.HasSuffix(name, ".tmp"):
			os.Remove(filepath.Join(dir, name))
		}
	}
}

// key identifies the tokens by everything that decides them.
func (f *fileSet) key(enc *encoder) (string, error) {
	all := struct {
		Version        int
		Files          []string
		Format         string
		Columns, Roles map[string]string
		Lang           string
		Langs          []string
		Encoder        any
	}{tokenVersion, nil, f.format, f.columns, f.roles, f.recogniser.lang, f.langs, enc.identity()}
	for _, p := range f.paths {
		h, err := hashFile(p)
		if err != nil {
			return "", err
		}
		all.Files = append(all.Files, h+filepath.Ext(p))
	}
	text, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:12]), nil
}

// hashFile is the SHA-256 of a file.
func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("data: %w", err)
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", fmt.Errorf("data: %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
