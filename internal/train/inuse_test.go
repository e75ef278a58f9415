package train

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A run's folder has one writer. What a killed process left is taken over; a
// living one, and one on another machine, are respected.
func TestOccupy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, inUseFile)
	leave := func(o owner) {
		t.Helper()
		b, err := json.Marshal(o)
		if err == nil {
			err = os.WriteFile(path, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	host, _ := os.Hostname()
	child := exec.Command(os.Args[0], "-test.run=^$") // a process number that is free again
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		left  owner
		taken bool
	}{
		"killed":          {owner{child.Process.Pid, host}, true},
		"alive":           {owner{os.Getppid(), host}, false},
		"another machine": {owner{child.Process.Pid, host + "-2"}, false},
	} {
		leave(c.left)
		release, err := occupy(dir)
		if c.taken != (err == nil) {
			t.Errorf("%s: %v, taken should be %v", name, err, c.taken)
		}
		if err == nil {
			release()
			if exists(path) {
				t.Errorf("%s: release left the file", name)
			}
			continue
		}
		if !errors.Is(err, ErrData) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want a data error that names the file", name, err)
		}
		os.Remove(path)
	}
	if err := os.WriteFile(path, []byte(`{"pi`), 0o644); err != nil { // cut short
		t.Fatal(err)
	}
	release, err := occupy(dir)
	if err != nil {
		t.Fatal(err)
	}
	release()
}
