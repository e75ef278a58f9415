package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"concord/internal/fault"
	"concord/internal/filelock"
)

// inUseFile is locked by the process that writes to a run's folder, and names it.
const inUseFile = "in-use.json"

// owner is the process that writes to a run's folder.
type owner struct {
	PID  int    `json:"pid"`
	Host string `json:"host"`
	Term uint32 `json:"term,omitempty"` // of the coordinator, where equal machines elect it
}

// Occupy makes this process the only one that writes to the run in dir, until
// release is called or the process ends. On file systems without locks it says so and
// keeps nobody out. Another process that tries is refused with this one's number.
func Occupy(dir string, warn io.Writer) (release func(), err error) { return OccupyAs(dir, 0, warn) }

// OccupyAs is Occupy for the coordinator of a term (0: not elected). It takes the folder
// from one of an earlier term, whose process may be there still, paused or cut off: that
// one finds the later term before it writes, see Overtaken.
func OccupyAs(dir string, term uint32, warn io.Writer) (release func(), err error) {
	if term > 0 {
		open, err := gate(dir)
		if err != nil {
			return nil, err
		}
		defer open()
	}
	return occupy(dir, term, warn)
}

// occupy is OccupyAs for a process that holds the gate, or was not elected.
func occupy(dir string, term uint32, warn io.Writer) (release func(), err error) {
	path := filepath.Join(dir, inUseFile)
	for try := range 40 {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, fault.Data(fmt.Errorf("cannot write to the run's folder: %w", err))
		}
		switch err := filelock.Try(f); {
		case errors.Is(err, filelock.ErrHeld):
			f.Close()
			if try < 3 || term == 0 && try < 25 { // Going holds it for an instant, longer where its process gets no core
				time.Sleep(20 * time.Millisecond)
				continue
			}
			if o := readOwner(path); o.Term == 0 || o.Term >= term {
				return nil, fault.Data(fmt.Errorf("%s is being written to by process %d on %q\n  fix: wait for it or stop it", dir, o.PID, o.Host))
			}
			if err := os.Remove(path); err != nil { // a new file, a new lock
				return nil, fault.Data(err)
			}
			continue
		case errors.Is(err, errors.ErrUnsupported):
			fmt.Fprintf(warn, "concord: the file system of %s has no locks (%v): nothing keeps a second process from writing there\n", dir, err)
		case err != nil:
			f.Close()
			return nil, fault.Data(err)
		}
		if !names(path, f) { // removed by its last owner since it was opened
			f.Close()
			continue
		}
		if err := sign(f, term); err != nil {
			f.Close()
			return nil, fault.Data(fmt.Errorf("cannot write %s: %w", path, err))
		}
		return func() { leave(dir, term, f) }, nil
	}
	return nil, fault.Data(fmt.Errorf("%s: other processes take and leave it all the time", dir))
}

// gateFile is locked by an elected coordinator while it takes a folder, or gives it back: to
// look whose it is and to replace that file is one act then. It stays.
const gateFile = "in-use.lock"

// gateFor is how long another one may take.
const gateFor = 10 * time.Second

// gate waits until no other elected coordinator takes the folder or gives it back. Where
// the file system has no locks, nothing keeps them apart.
func gate(dir string) (open func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, gateFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fault.Data(fmt.Errorf("cannot write to the run's folder: %w", err))
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := filelock.Try(f)
		switch {
		case err == nil, errors.Is(err, errors.ErrUnsupported):
			return func() { f.Close() }, nil
		case !errors.Is(err, filelock.ErrHeld):
			f.Close()
			return nil, fault.Data(err)
		case time.Since(began) > gateFor:
			f.Close()
			return nil, fault.Data(fmt.Errorf("%s is being taken by another machine that does not get on with it\n  fix: end "+
				"that one's process, and "+
				"start again", dir))
		}
	}
}

// names says that path is the open file f.
func names(path string, f *os.File) bool {
	there, err := os.Stat(path)
	if err != nil {
		return false
	}
	mine, err := f.Stat()
	return err == nil && os.SameFile(there, mine)
}

// sign writes to f which process has it.
func sign(f *os.File, term uint32) error {
	host, _ := os.Hostname() // "" is told as such
	b, err := json.Marshal(owner{os.Getpid(), host, term})
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return err
}

// leave gives the folder back. Removing comes first, so that nobody who opened the file
// before locks a file that is about to go; Windows removes no open file.
func leave(dir string, term uint32, f *os.File) {
	path := filepath.Join(dir, inUseFile)
	if term > 0 {
		if open, err := gate(dir); err == nil {
			defer open()
		}
	}
	mine := names(path, f)
	removed := mine && os.Remove(path) == nil
	f.Close()
	if mine && !removed {
		os.Remove(path)
	}
}

// readOwner reads which process occupies a folder; of a file that is not there, or cut
// short, it knows nothing.
func readOwner(path string) (o owner) {
	if b, err := os.ReadFile(path); err != nil || json.Unmarshal(b, &o) != nil {
		return owner{}
	}
	return o
}

// Overtaken says that a coordinator of a later term writes to the run in dir.
func Overtaken(dir string, term uint32) bool {
	return readOwner(filepath.Join(dir, inUseFile)).Term > term
}

// Going says that a process is making the run in dir.
func Going(dir string) bool {
	path := filepath.Join(dir, inUseFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrPermission) {
		f, err = os.Open(path) // another user's
	}
	if err != nil {
		return false
	}
	defer f.Close()
	err = filelock.Try(f)
	return errors.Is(err, filelock.ErrHeld) || errors.Is(err, errors.ErrUnsupported)
}
