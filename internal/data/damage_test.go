package data

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keptTokens makes the token files of a small text.
func keptTokens(t *testing.T) (path string) {
	t.Helper()
	f := (&Source{Lang: "l"}).files([]string{write(t, "a.txt", numbered(5, "la frase %d\n\n"))}, false)
	enc, err := newEncoder(withBOS(t), "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	key, err := f.key(enc)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "x")
	if _, err := f.keep(enc, path, key); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll reads every example of kept tokens.
func readAll(t *testing.T, path string) error {
	t.Helper()
	file := openCached(path)
	if file == nil {
		t.Fatal("not opened")
	}
	defer file.ids.Close()
	defer file.docs.Close()
	return file.each(func(d *tokenised, at int64) error {
		for _, n := range d.lengths {
			if _, err := file.example(at, int(n)); err != nil {
				return err
			}
			at += int64(n) + extraWords
		}
		return nil
	})
}

// A changed bit of the ids is an error that names the file, wherever it lies: nothing
// is trained on other tokens.
func TestDamagedIDs(t *testing.T) {
	path := keptTokens(t)
	if err := readAll(t, path); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path + idsSuffix)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		b := append([]byte(nil), whole...)
		b[i] ^= 1
		if err := os.WriteFile(path+idsSuffix, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := readAll(t, path); err == nil || !strings.Contains(err.Error(), path+idsSuffix) || !strings.Contains(err.Error(), "damaged") {
			t.Fatalf("byte %d of %d: %v", i, len(whole), err)
		}
	}
}

// An id that the vocabulary does not have is an error, also with a right checksum.
func TestIDBeyondVocabulary(t *testing.T) {
	file := openCached(keptTokens(t))
	if file == nil {
		t.Fatal("not opened")
	}
	file.sum.Vocab = 1
	err := file.each(func(d *tokenised, at int64) error {
		_, err := file.example(at, int(d.lengths[0]))
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "the vocabulary has 1") {
		t.Errorf("error %v", err)
	}
}
