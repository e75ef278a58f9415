// Package filelock locks a file for as long as a process has it open: the operating
// system takes the lock back when the process ends, however it ends.
//
// The lock is flock(2) or LockFileEx. On network file systems that pass it on (NFS from
// Linux 2.6.12 on, SMB, Lustre with -o flock, CephFS) it holds between machines.
package filelock

import (
	"errors"
	"os"
)

// ErrHeld says that another open file has the lock.
var ErrHeld = errors.New("locked by another process")

// Try locks f until it is closed, without waiting. The error is ErrHeld where another
// open file has the lock, errors.ErrUnsupported where the file system has no locks.
// Reading and writing the file needs no lock.
func Try(f *os.File) error { return try(f) }
