package rundir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"concord/internal/fault"
)

// A run's folder has one writer, which the error names; whatever file a process left
// that is no more, on this host or another, it is taken over.
func TestOccupy(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, inUseFile)
	for _, left := range []string{`{"pid":1,"host":"elsewhere"}`, fmt.Sprintf(`{"pid":%d,"host":"elsewhere"}`, os.Getppid()), `{"pi`, ""} {
		if err := os.WriteFile(path, []byte(left), 0o644); err != nil {
			t.Fatal(err)
		}
		if Going(dir) {
			t.Errorf("%s: a run that nobody makes is going", left)
		}
		release, err := Occupy(dir, io.Discard)
		if err != nil {
			t.Fatalf("%s: %v", left, err)
		}
		if !Going(dir) {
			t.Errorf("%s: a run is not going", left)
		}
		want := fmt.Sprintf("process %d", os.Getpid())
		if _, err := Occupy(dir, io.Discard); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), dir) {
			t.Errorf("%s: a second time: %v, want a data error that names the first", left, err)
		}
		if _, err := OccupyAs(dir, 7, io.Discard); err == nil {
			t.Errorf("%s: a coordinator takes a folder from a process that no election made", left)
		}
		if release(); exists(path) {
			t.Errorf("%s: release left the file", left)
		}
	}
}

// An elected coordinator takes the folder from one of an earlier term whose process is
// still there; that one sees it, and leaves the folder to its successor.
func TestOccupyByTerm(t *testing.T) {
	dir := t.TempDir()
	old, err := OccupyAs(dir, 3, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, term := range []uint32{2, 3} {
		if _, err := OccupyAs(dir, term, io.Discard); err == nil {
			t.Errorf("term %d takes the folder from term 3", term)
		}
	}
	if Overtaken(dir, 3) {
		t.Error("term 3 is overtaken by nobody")
	}
	release, err := OccupyAs(dir, 4, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !Overtaken(dir, 3) || Overtaken(dir, 4) {
		t.Error("term 4 took over, and it does not show")
	}
	if old(); !Going(dir) {
		t.Error("the old leader's end took its successor's lock away")
	}
	release()
}

// Candidates of different terms that take a folder from a paused leader at one time: of
// those who are told that they have it, all but the one of the latest term find that they
// are overtaken.
func TestOccupyByTermsAtOnce(t *testing.T) {
	for range 60 {
		dir := t.TempDir()
		if _, err := OccupyAs(dir, 3, io.Discard); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var latest uint32
		var all sync.WaitGroup
		for term := uint32(4); term < 10; term++ {
			all.Go(func() {
				if _, err := OccupyAs(dir, term, io.Discard); err == nil {
					mu.Lock()
					defer mu.Unlock()
					latest = max(latest, term)
				}
			})
		}
		all.Wait()
		if got := readOwner(filepath.Join(dir, inUseFile)).Term; got != latest || latest == 0 {
			t.Fatalf("the folder is term %d's; the latest that was told it has it is %d: two write to it", got, latest)
		}
	}
}

// holdFolder occupies the folder in the environment, in a process of its own, until it
// is killed.
func holdFolder(t *testing.T) {
	dir := os.Getenv("OCCUPY_TEST_DIR")
	if dir == "" {
		return
	}
	if _, err := Occupy(dir, io.Discard); err != nil {
		fmt.Printf("refused %v\n", err)
	} else {
		fmt.Printf("holds %d\n", os.Getpid())
	}
	time.Sleep(time.Minute)
	t.FailNow()
}

// holder starts holdFolder in another process, and returns its first word.
func holder(t *testing.T, test, dir string, change func(*exec.Cmd)) (c *exec.Cmd, word string) {
	t.Helper()
	c = exec.Command(os.Args[0], "-test.run=^"+test+"$")
	c.Env = append(os.Environ(), "OCCUPY_TEST_DIR="+dir)
	if change != nil {
		change(c)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Skipf("cannot start a process so: %v", err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	b := make([]byte, 4096)
	n, _ := out.Read(b)
	return c, string(b[:n])
}

// A process that is killed leaves the folder at once.
func TestOccupierIsKilled(t *testing.T) {
	holdFolder(t)
	dir := t.TempDir()
	c, word := holder(t, "TestOccupierIsKilled", dir, nil)
	if !strings.HasPrefix(word, "holds") {
		t.Fatal(word)
	}
	if _, err := Occupy(dir, io.Discard); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("process %d", c.Process.Pid)) {
		t.Errorf("while it lives: %v", err)
	}
	c.Process.Kill()
	c.Wait()
	release, err := Occupy(dir, io.Discard)
	if err != nil {
		t.Fatal("after kill -9:", err)
	}
	release()
}
