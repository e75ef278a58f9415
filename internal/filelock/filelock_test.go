package filelock

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A lock is of one open file, and ends with it; the content stays readable.
func TestTry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	a, b := open(), open()
	defer b.Close()
	a.WriteString("a")
	if err := Try(a); err != nil {
		t.Fatal(err)
	}
	if err := Try(b); !errors.Is(err, ErrHeld) {
		t.Errorf("locked twice: %v", err)
	}
	if got, err := os.ReadFile(path); string(got) != "a" || err != nil {
		t.Errorf("read while locked: %q, %v", got, err)
	}
	a.Close()
	if err := Try(b); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}
