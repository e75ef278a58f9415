package data

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// A spool reads as a file with the same bytes does, in memory and on the disk, and a file is made
// only for more than fits in memory.
func TestSpool(t *testing.T) {
	for _, c := range []struct {
		size int
		file bool
	}{{0, false}, {1, false}, {spoolBytes, false}, {spoolBytes + 1, true}, {3 * spoolBytes, true}} {
		want := make([]byte, c.size)
		for i := range want {
			want[i] = byte(i * 7 / 5)
		}
		s := &spool{pattern: "x-*.ids"}
		for lo := 0; lo < c.size; lo += 1000 {
			if n, err := s.Write(want[lo:min(lo+1000, c.size)]); err != nil || n != min(1000, c.size-lo) {
				t.Fatal(n, err)
			}
		}
		if (s.file != nil) != c.file {
			t.Errorf("%d bytes: a file was made: %v", c.size, s.file != nil)
		}
		if n, err := s.size(); err != nil || n != int64(c.size) {
			t.Errorf("size %d: %v", n, err)
		}
		file, err := os.Open(write(t, "file", string(want)))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, at := range []int64{-1, 0, 1, int64(c.size) - 1, int64(c.size), int64(c.size) + 5} {
			for _, n := range []int{1, 100, spoolBytes} {
				a, b := make([]byte, n), make([]byte, n)
				na, errA := s.ReadAt(a, at)
				nb, errB := file.ReadAt(b, at)
				if na != nb || (errA == nil) != (errB == nil) || (errA == io.EOF) != (errB == io.EOF) || !bytes.Equal(a[:na], b[:nb]) {
					t.Errorf("%d bytes at %d of %d: %d, %v; a file gives %d, %v", n, at, c.size, na, errA, nb, errB)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		_, readErr := s.ReadAt(make([]byte, 1), 0)
		_, writeErr := s.Write([]byte{1})
		_, sizeErr := s.size()
		for _, err := range []error{readErr, writeErr, sizeErr} {
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
	}
}

// Without a folder for temporary files small data is read all the same; large data says why not.
func TestSpoolWithoutAFolder(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	t.Setenv("TMPDIR", gone)
	t.Setenv("TMP", gone)
	s := &spool{pattern: "x-*.ids"}
	if _, err := s.Write(make([]byte, spoolBytes)); err != nil {
		t.Error(err)
	}
	if _, err := s.Write([]byte{1}); err == nil {
		t.Error("no error")
	}
}

// Temporary token files are closed when nothing refers to them any more.
func TestTemporaryTokensGo(t *testing.T) {
	enc, err := newEncoder(withBOS(t), "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	set := (&Source{Lang: "l"}).files([]string{write(t, "a.txt", numbered(20000, "la frase %d\n\n"))}, false)
	tokens, err := set.temporary(enc)
	if err != nil {
		t.Fatal(err)
	}
	ids := tokens.ids.(*spool)
	if ids.file == nil {
		t.Fatal("no file is needed for these tokens")
	}
	file := ids.file
	runtime.KeepAlive(tokens)
	tokens, ids = nil, nil
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		runtime.GC()
		if _, err := file.ReadAt(make([]byte, 1), 0); errors.Is(err, os.ErrClosed) {
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatal("the file is still open")
		}
	}
}
