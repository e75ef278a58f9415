package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// inUseFile marks a run's folder as being written to.
const inUseFile = "in-use.json"

// owner is the process that writes to a run's folder.
type owner struct {
	PID  int    `json:"pid"`
	Host string `json:"host"`
}

// occupy makes this process the only one that writes to the run in dir, until
// release is called. What a killed process left behind is taken over.
func occupy(dir string) (release func(), err error) {
	path := filepath.Join(dir, inUseFile)
	host, _ := os.Hostname() // "" compares too
	mine, err := json.Marshal(owner{os.Getpid(), host})
	if err != nil {
		return nil, err
	}
	for range 2 {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.Write(mine)
			if err = errors.Join(err, f.Close()); err != nil {
				return nil, DataError(fmt.Errorf("cannot write %s: %w", path, err))
			}
			return func() { os.Remove(path) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, DataError(fmt.Errorf("cannot write to the run's folder: %w", err))
		}
		if o := readOwner(path); o.Host != host || alive(o.PID) {
			return nil, DataError(fmt.Errorf("%s is being written to by process %d on %q\n  fix: wait for it or stop it; if there is no such process, delete %s", dir, o.PID, o.Host, path))
		}
		if err := os.Remove(path); err != nil {
			return nil, DataError(err)
		}
	}
	return nil, DataError(fmt.Errorf("%s: another process took it at the same moment", dir))
}

// readOwner reads who occupies a folder; a file cut short by a crash is nobody's.
func readOwner(path string) owner {
	o := owner{}
	if b, err := os.ReadFile(path); err != nil || json.Unmarshal(b, &o) != nil {
		o.Host, _ = os.Hostname()
	}
	return o
}

// alive reports whether a process of this machine exists, as far as can be told.
func alive(pid int) bool {
	if pid <= 0 || pid == os.Getpid() { // this process starts only now: the number was used before
		return false
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return false // Windows: no such process
	}
	defer p.Release()
	err = p.Signal(syscall.Signal(0))
	return !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH)
}
