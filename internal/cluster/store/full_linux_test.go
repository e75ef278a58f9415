package store

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts one of so many MB. Needs the right to mount.
func smallDisk(t *testing.T, mb int) string {
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mb)); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill leaves so many bytes on the disk of dir, in a file that is returned.
func fill(t *testing.T, dir string, leave uint64) string {
	path := filepath.Join(dir, "fill")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
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
	dir := smallDisk(t, 80)
	s, err := Embedded(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rev, err := s.Put(t.Context(), "k", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	path := fill(t, dir, room/2)
	if _, err := s.Put(t.Context(), "k", []byte("2"), rev); err == nil || !strings.Contains(err.Error(), "MB are free in "+dir) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("on a full disk: %v", err)
	}
	if v, at, err := s.Get(t.Context(), "k"); string(v) != "1" || at != rev || err != nil {
		t.Errorf("%q, %d, %v", v, at, err)
	}
	if _, err := Embedded(filepath.Join(dir, "other")); err == nil || !strings.Contains(err.Error(), "make room") {
		t.Errorf("started on a full disk: %v", err)
	}
	os.Remove(path)
	if _, err := s.Put(t.Context(), "k", []byte("2"), rev); err != nil {
		t.Error("with room:", err)
	}
}

// A disk that fills up within a write, where etcd would end the process: requests
// fail with the cause, in bounded time, Close returns, and another process finds
// everything that was acknowledged.
func TestDiskFillsUpUnderEtcd(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_DIR"); dir != "" {
		overfill(t, dir)
		return
	}
	dir := smallDisk(t, 80)
	c := exec.Command(os.Args[0], "-test.run=TestDiskFillsUpUnderEtcd", "-test.v")
	c.Env = append(os.Environ(), "STORE_TEST_DIR="+dir)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT, "size=200m"); err != nil {
		t.Fatal(err)
	}
	s, err := Embedded(dir)
	if err != nil {
		t.Fatalf("with room again: %v\n%s", err, out)
	}
	defer s.Close()
	note, _ := os.ReadFile(filepath.Join(dir, "acknowledged"))
	last, err := strconv.ParseInt(strings.TrimSpace(string(note)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	v, rev, err := s.Get(t.Context(), "k")
	if err != nil || rev < last {
		t.Errorf("revision %d, acknowledged was %d: %v\n%s", rev, last, err, out)
	}
	if _, err := s.Put(t.Context(), "k", v, rev); err != nil {
		t.Error(err)
	}
}

// overfill puts values into a store on a full disk until it breaks.
func overfill(t *testing.T, dir string) {
	note, err := os.Create(filepath.Join(dir, "acknowledged"))
	if err != nil {
		t.Fatal(err)
	}
	note.Write(make([]byte, 20)) // its page is there
	opened, err := Embedded(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := opened.(*embedded)
	var rev int64
	for i := 0; ; i++ {
		if i == 20 {
			fill(t, dir, 0)
		}
		if i == 100_000 {
			t.Fatal("a full disk takes everything")
		}
		began := time.Now()
		now, err := attempt(s.end, func() (int64, error) { return s.etcd.Put(t.Context(), "k", make([]byte, 10_000), rev) })
		if err == nil {
			rev = now
			note.WriteAt(fmt.Appendf(nil, "%-20d", rev), 0)
			continue
		}
		if d := time.Since(began); d > 2*opTimeout {
			t.Errorf("it takes %v to say %v", d, err)
		}
		if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("after %d values: %v", i, err)
		}
		t.Logf("after %d values: %v", i, err)
		break
	}
	if _, _, err := s.Get(t.Context(), "k"); !errors.Is(err, ErrBroken) {
		t.Errorf("read after that: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrBroken) {
		t.Errorf("closed: %v", err)
	}
}
