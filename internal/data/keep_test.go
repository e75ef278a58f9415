package data

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Kept tokens are not those of another format: a file that is renamed from text to
// JSON lines is read anew, compressed or not.
func TestCacheKnowsTheFormat(t *testing.T) {
	plain, err := os.ReadFile(largeFile(t))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(plain)
	z.Close()
	cacheFrom = 1 << 10 // largeFile puts it back
	for ext, content := range map[string][]byte{"": plain, ".gz": packed.Bytes()} {
		dir := t.TempDir()
		load := func(name string) *Set {
			t.Helper()
			path := write(t, name+ext, string(content))
			set, err := Load(Source{Lang: "l", Paths: []string{path}, Train: true}, withBOS(t), Options{Cache: dir})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range set.Notes {
				if !strings.Contains(n, path) {
					t.Errorf("%s%s: the note is of another file: %q", name, ext, n)
				}
			}
			return set
		}
		text, rows, again := load("a.txt"), load("a.jsonl"), load("b.ndjson")
		if text.TrainStats.Docs != 1 || rows.TrainStats.Docs < 100 || again.TrainStats != rows.TrainStats {
			t.Errorf("%s: %d documents of text, %d of lines, %d again", ext, text.TrainStats.Docs, rows.TrainStats.Docs, again.TrainStats.Docs)
		}
		if entries, _ := os.ReadDir(dir); len(entries) != 4 || len(again.Notes) == 0 {
			t.Errorf("%s: %d files, notes %q", ext, len(entries), again.Notes)
		}
	}
}

// Where tokens cannot be kept the run goes on without, and says so.
func TestCacheThatCannotBeWritten(t *testing.T) {
	path := largeFile(t)
	src := Source{Lang: "l", Paths: []string{path}, Train: true}
	want, err := Load(src, withBOS(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	enc, err := newEncoder(withBOS(t), "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := src.files(src.Paths, false)
	key, err := f.key(enc)
	if err != nil {
		t.Fatal(err)
	}
	occupied := t.TempDir()
	if err := os.MkdirAll(filepath.Join(occupied, key+idsSuffix, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	locked := t.TempDir()
	if err := os.Chmod(locked, 0o555); err != nil {
		t.Fatal(err)
	}
	dirs := map[string]string{"the name is taken": occupied, "a file": path}
	if probe, err := os.CreateTemp(locked, ""); err != nil {
		dirs["no right to write"] = locked
	} else {
		probe.Close()
		os.Remove(probe.Name())
	}
	for name, dir := range dirs {
		set, err := Load(src, withBOS(t), Options{Cache: dir})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if set.TrainStats != want.TrainStats || !strings.Contains(strings.Join(set.Notes, "\n"), path+": its tokens cannot be kept in "+dir) {
			t.Errorf("%s: %+v, notes %q", name, set.TrainStats, set.Notes)
		}
	}
}

// A disk that takes no more bytes is a storageError, a fault of the data is not.
func TestStorageError(t *testing.T) {
	enc, err := newEncoder(withBOS(t), "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	closed := func() diskFile {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		return diskFile{f}
	}
	var storage *storageError
	big := (&Source{Lang: "l"}).files([]string{write(t, "a.txt", numbered(20000, "la frase %d\n\n"))}, false)
	if err := big.tokenise(enc, newTokenWriter(closed(), closed())); !errors.As(err, &storage) {
		t.Errorf("error %v", err)
	}
	small := (&Source{Lang: "l"}).files([]string{write(t, "a.txt", "la frase\n")}, false)
	w := newTokenWriter(closed(), closed())
	if err := small.tokenise(enc, w); err != nil {
		t.Fatal(err)
	}
	if err := w.close(true); err == nil {
		t.Error("no error")
	}
	bad := (&Source{Lang: "l"}).files([]string{write(t, "a.jsonl", "{broken\n")}, false)
	if err := bad.tokenise(enc, w); err == nil || errors.As(err, &storage) {
		t.Errorf("error %v", err)
	}
}

// A file that is written to while it is read is an error, and nothing is kept.
func TestCacheOfChangingFile(t *testing.T) {
	was := progressEvery
	progressEvery = 0
	defer func() { progressEvery = was }()
	path, dir := largeFile(t), t.TempDir()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := false
	opt := Options{Cache: dir, Progress: func(string, int) {
		if !changed {
			changed = true
			other := bytes.Replace(before, []byte(`"prompt":"0"`), []byte(`"prompt":"z"`), 1)
			if err := os.WriteFile(path, other, 0o644); err != nil {
				t.Error(err)
			}
		}
	}}
	_, err = Load(Source{Lang: "l", Paths: []string{path}, Train: true}, withBOS(t), opt)
	if !changed || err == nil || !strings.Contains(err.Error(), path+" changed while it was read") {
		t.Errorf("changed %t, error %v", changed, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("left: %v", entries)
	}
}

// Old files are pruned, ids without documents too; what is in use stays.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * cacheDays * 24 * time.Hour)
	for name, aged := range map[string]bool{
		"orphan.ids": true, "unused.ids": true, "unused.docs": true, "used.ids": true, "used.docs": false, "new.ids": false, "x.ids.tmp": true,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		if aged {
			os.Chtimes(path, old, old)
		}
	}
	prune(dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); got != "new.ids used.docs used.ids" {
		t.Errorf("left: %s", got)
	}
}
