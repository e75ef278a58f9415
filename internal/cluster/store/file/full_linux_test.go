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

// fill leaves so many bytes on the disk of dir, in a file that is returned.
func fill(t *testing.T, dir string, leave uint64) string {
	path := filepath.Join(dir, "fill")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 4096); ; {
		if free, err := freeBytes(dir); err != nil || free < leave+4096 {
			return path
		}
		if _, err := f.Write(chunk); err != nil {
			return path
		}
	}
}

// While the disk is nearly full nothing is put and everything can be read; with
// room all goes on (reference case 31).
func TestNearlyFullDisk(t *testing.T) {
	dir := smallDisk(t, 40_000)
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rev, err := s.Put(t.Context(), "k", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	path := fill(t, dir, room/2)
	_, err = s.Put(t.Context(), "k", []byte("2"), rev)
	if err == nil || !strings.Contains(err.Error(), "MB are free in "+dir) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("on a full disk: %v", err)
	}
	if v, at, err := s.Get(t.Context(), "k"); string(v) != "1" || at != rev || err != nil {
		t.Errorf("%q, %d, %v", v, at, err)
	}
	if _, err := Open(filepath.Join(dir, "other")); err == nil || !strings.Contains(err.Error(), "make room") {
		t.Errorf("made on a full disk: %v", err)
	}
	os.Remove(path)
	if _, err := s.Put(t.Context(), "k", []byte("2"), rev); err != nil {
		t.Error("with room:", err)
	}
}

// A disk that fills up within a write: that change is refused with the cause and
// nothing else changes; with room it goes on, in this process and in the next
// (reference case 31).
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, 40_000)
	opened, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*file)
	defer func() { s.Close() }()
	kept := map[string]int64{}
	put := func(i int) error {
		key := fmt.Sprint("k", i)
		rev, err := s.put(key, make([]byte, 10_000), kept[key], nil)
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
	path := fill(t, dir, 0)
	n := 5
	for err = put(n); err == nil && n < 1000; err = put(n) {
		n++
	}
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "no space left on device") ||
		!strings.Contains(err.Error(), "make room") {
		t.Fatalf("on a full disk, after %d values: %v", n, err)
	}
	check("on a full disk")
	os.Remove(path)
	if err := put(n); err != nil {
		t.Error("with room:", err)
	}
	check("with room")
	s.Close()
	if opened, err = Open(dir); err != nil {
		t.Fatal("opened again:", err)
	}
	s = opened.(*file)
	check("opened again")
}
