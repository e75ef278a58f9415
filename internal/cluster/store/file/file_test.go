package file

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"concord/internal/cluster/store"
	"concord/internal/cluster/store/storetest"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	storetest.Conform(t, s)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal("opened again:", err)
	}
	defer again.Close()
	v, rev, err := again.Get(t.Context(), "step")
	if string(v) != "3" || err != nil {
		t.Errorf("after a restart: %q, %v", v, err)
	}
	if _, err := again.Put(t.Context(), "step", []byte("4"), rev-1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("from a revision of before: %v", err)
	}
}

// A file is of one process at a time, and of the next as soon as that is killed.
func TestOneProcess(t *testing.T) {
	if dir := os.Getenv("STORE_TEST_DIR"); dir != "" {
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(t.Context(), "k", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
		fmt.Println("acknowledged")
		time.Sleep(time.Minute) // to be killed
	}
	dir := t.TempDir()
	c := exec.Command(os.Args[0], "-test.run=TestOneProcess")
	c.Env = append(os.Environ(), "STORE_TEST_DIR="+dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var word string
	fmt.Fscan(out, &word)
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("opened by a second process: %v", err)
	}
	c.Process.Kill()
	c.Wait()
	s, err := Open(dir)
	if err != nil {
		t.Fatal("after kill -9:", err)
	}
	defer s.Close()
	if v, _, err := s.Get(t.Context(), "k"); string(v) != "1" || err != nil {
		t.Errorf("what was acknowledged: %q, %v", v, err)
	}
}

// What is on the disk in place of a store is an error that names the file and the fix.
func TestDamage(t *testing.T) {
	whole := t.TempDir()
	s, err := Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		if _, err := s.Put(t.Context(), fmt.Sprint("key", i), make([]byte, 500), 0); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	b, err := os.ReadFile(filepath.Join(whole, name))
	if err != nil {
		t.Fatal(err)
	}
	for what, damage := range map[string][]byte{
		"noise": []byte(strings.Repeat("no store ", 3000)), "cut short": b[:9000], "cut in its middle": b[:len(b)/2], "pages lost": append(b[:8192:8192], make([]byte, len(b)-8192)...),
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name), damage, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(dir)
			if err == nil {
				_, err = s.List(t.Context(), "")
			}
			if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)) || !strings.Contains(err.Error(), "fix:") {
				t.Errorf("%v", err)
			}
		})
	}
	old := t.TempDir()
	if err := os.Mkdir(filepath.Join(old, "etcd"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(old); err == nil || !strings.Contains(err.Error(), "finish the run with that version") {
		t.Errorf("a run that another version began: %v", err)
	}
}
