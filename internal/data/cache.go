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
	"runtime"
	"strings"
	"time"

	"concord/internal/records"
)

// cacheFrom is the size in bytes of the data from which its tokens are kept for the
// next run: less is tokenised anew in a moment. Tests lower it.
var cacheFrom = int64(16 << 20)

// cacheDays is how long tokens that no run opens are kept.
const cacheDays = 30

// tokenVersion changes with the form of token files and with anything that changes
// their content for the same input.
const tokenVersion = 2

// tokens opens the token files of the set, made before or now. Where they cannot be
// kept, the user is told and they are made for this run alone.
func (f *fileSet) tokens(enc *encoder, dir string) (*tokenFile, error) {
	if dir == "" || !f.large() {
		return f.temporary(enc)
	}
	key, err := f.key(enc)
	if err != nil {
		return nil, err
	}
	t, err := f.kept(enc, dir, key)
	var storage *storageError
	if !errors.As(err, &storage) {
		return t, err
	}
	t, tempErr := f.temporary(enc)
	if tempErr != nil {
		return nil, tempErr
	}
	t.sum.Notes = append(t.sum.Notes, note{0, fmt.Sprintf("%s: its tokens cannot be kept in %s, so every run makes them anew: %v; "+
		"free space there, or let the folder be written to", fileMark, dir, storage)})
	return t, nil
}

// kept opens the token files of a key in dir, and makes them first if they are not
// there. Faults of the folder are storageErrors.
func (f *fileSet) kept(enc *encoder, dir, key string) (*tokenFile, error) {
	path := filepath.Join(dir, key)
	t := openCached(path)
	if t == nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, &storageError{err}
		}
		var err error
		if t, err = f.keep(enc, path, key); err != nil {
			return nil, err
		}
	}
	t.sum.Files = f.paths // the same content may have had another path
	return t, nil
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
	files := [2]*spool{{pattern: "concord-*" + idsSuffix}, {pattern: "concord-*" + docsSuffix}}
	t, err := f.fill(enc, files[0], files[1])
	if err != nil {
		discard(files)
		return nil, err
	}
	runtime.AddCleanup(t, discard, files) // nothing refers to the tokens any more
	return t, nil
}

// fill writes token files and opens them.
func (f *fileSet) fill(enc *encoder, ids, docs tokenStore) (*tokenFile, error) {
	w := newTokenWriter(ids, docs)
	if err := f.tokenise(enc, w); err != nil {
		return nil, err
	}
	w.sum.Files = f.paths
	if err := w.close(false); err != nil {
		return nil, fmt.Errorf("data: tokens of %s: %w", strings.Join(f.paths, ", "), err)
	}
	return openTokens(ids, docs)
}

// keep makes token files at path: whole, or not at all. The files must still have the
// content of key afterwards: tokens of other bytes are not kept under its name.
func (f *fileSet) keep(enc *encoder, path, key string) (*tokenFile, error) {
	prune(filepath.Dir(path))
	var tmp [2]*os.File
	for i, suffix := range []string{idsSuffix, docsSuffix} {
		file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*"+suffix+".tmp")
		if err != nil {
			return nil, &storageError{err}
		}
		tmp[i] = file
		defer os.Remove(file.Name())
		defer file.Close()
	}
	w := newTokenWriter(diskFile{tmp[0]}, diskFile{tmp[1]})
	if err := f.tokenise(enc, w); err != nil {
		return nil, err
	}
	if now, err := f.key(enc); err != nil || now != key {
		return nil, errors.Join(err, fmt.Errorf("data: %s changed while it was read: start again once it is whole", strings.Join(f.paths, ", ")))
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
	return nil, &storageError{errOr(err, "they cannot be read back")}
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
	t, err := openTokens(diskFile{ids}, diskFile{docs})
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
		case strings.HasSuffix(name, idsSuffix): // of a run that was killed before it wrote the documents
			if docs := strings.TrimSuffix(name, idsSuffix) + docsSuffix; !exists(filepath.Join(dir, docs)) {
				os.Remove(filepath.Join(dir, name))
			}
		case strings.HasSuffix(name, ".tmp"):
			os.Remove(filepath.Join(dir, name))
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// key identifies the tokens by everything that decides them.
func (f *fileSet) key(enc *encoder) (string, error) {
	all := struct {
		Version        int
		Files          []string // hash and format of each
		Columns, Roles map[string]string
		Lang           string
		Langs          []string
		Key            string `json:",omitempty"`
		KeyOptional    bool   `json:",omitempty"`
		Encoder        any
	}{tokenVersion, nil, f.columns, f.roles, f.recogniser.lang, f.langs, f.recogniser.key, f.recogniser.key != "" && f.recogniser.keyOptional,
		enc.identity()}
	for _, p := range f.paths {
		h, err := hashFile(p)
		if err != nil {
			return "", err
		}
		format, err := records.FormatOf(p, f.format)
		if err != nil {
			return "", err
		}
		all.Files = append(all.Files, h+" "+format)
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
