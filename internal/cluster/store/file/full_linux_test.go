package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts one of so many kB. Needs the right to mount.
func smallDisk(t *testing.T, kB int) string {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kB)); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill writes to the disk of dir until it is full, and returns the file.
func fill(t *testing.T, dir string) string {
	path := filepath.Join(dir, "fill")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 4096); ; {
		if _, err := f.Write(chunk); err != nil {
			return path
		}
	}
}

// A disk that fills up within a write: that change is refused with the cause and
// nothing else changes; with room it goes on, in this process and in the next
// (reference case 31).
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 512)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	kept := map[string]int64{}
	put := func(i int) error {
		key := fmt.Sprint("k", i)
		rev, err := s.Put(t.Context(), key, make([]byte, 10_000), kept[key])
		if err == nil {
			kept[key] = rev
		}
		return err
	}
	check := func(when string) {
		t.Helper()
		for key, want := range kept {
			if v, rev, err := s.Get(t.Context(), key); len(v) != 10_000 || rev != want || err != nil {
				t.Errorf("%s: %s has %d bytes of revision %d, not %d: %v", when, key, len(v), rev, want, err)
			}
		}
	}
	for i := range 5 {
		if err := put(i); err != nil {
			t.Fatal(err)
		}
	}
	path := fill(t, dir)
	n := 5
	for err = put(n); err == nil && n < 1000; err = put(n) {
		n++
	}
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "no space left on device") || !strings.Contains(err.Error(), "make room") {
		t.Fatalf("on a full disk, after %d values: %v", n, err)
	}
	check("on a full disk")
	if _, err := Open(filepath.Join(dir, "other")); err == nil {
		t.Error("a store was made on a full disk")
	}
	os.Remove(path)
	if err := put(n); err != nil {
		t.Error("with room:", err)
	}
	check("with room")
	if other, err := Open(filepath.Join(dir, "other")); err != nil {
		t.Error("made anew with room:", err)
	} else {
		other.Close()
	}
	s.Close()
	if s, err = Open(dir); err != nil {
		t.Fatal("opened again:", err)
	}
	check("opened again")
}
