package rundir

import (
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// Of two containers on one volume, in both of which concord is process 1, one has the
// run's folder.
func TestOccupyInContainers(t *testing.T) {
	holdFolder(t)
	dir := t.TempDir()
	container := func(c *exec.Cmd) {
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS}
	}
	first, word := holder(t, "TestOccupyInContainers", dir, container)
	if word != "holds 1\n" {
		t.Fatalf("the first says %q", word)
	}
	if _, word := holder(t, "TestOccupyInContainers", dir, container); !strings.HasPrefix(word, "refused") ||
		!strings.Contains(word, "process 1") {
		t.Errorf("the second says %q", word)
	}
	first.Process.Kill()
	first.Wait()
	release, err := Occupy(dir, io.Discard)
	if err != nil {
		t.Fatal("after kill -9 of the first:", err)
	}
	release()
}
