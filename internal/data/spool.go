package data

import (
	"bytes"
	"io"
	"os"
)

// tokenStore holds one of a pair of token files.
type tokenStore interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	size() (int64, error)
	name() string // for messages
}

// diskFile is a tokenStore in a folder.
type diskFile struct{ *os.File }

func (f diskFile) size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f diskFile) name() string { return f.Name() }

// spoolBytes is how much a spool holds in memory.
const spoolBytes = 128 << 10

// spool is a file that nobody else sees: up to spoolBytes in memory, so that small data needs no
// temporary file, and from then on an unnamed file in the folder for temporary files. It is
// written first and read afterwards; reads may be concurrent.
type spool struct {
	pattern string // of the file's name, as for os.CreateTemp
	mem     []byte
	file    *os.File // nil while everything is in mem
	closed  bool
}

func (s *spool) Write(b []byte) (int, error) {
	if s.closed {
		return 0, os.ErrClosed
	}
	if s.file == nil && len(s.mem)+len(b) <= spoolBytes {
		s.mem = append(s.mem, b...)
		return len(b), nil
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	return s.file.Write(b)
}

// spill moves the bytes in memory to a file.
func (s *spool) spill() error {
	file, err := os.CreateTemp("", s.pattern)
	if err != nil {
		return err
	}
	os.Remove(file.Name()) // where the system lets open files go, it is gone with the process
	s.file = file
	_, err = file.Write(s.mem)
	s.mem = nil
	return err
}

func (s *spool) ReadAt(b []byte, at int64) (int, error) {
	switch {
	case s.closed:
		return 0, os.ErrClosed
	case s.file != nil:
		return s.file.ReadAt(b, at)
	}
	return bytes.NewReader(s.mem).ReadAt(b, at)
}

func (s *spool) size() (int64, error) {
	switch {
	case s.closed:
		return 0, os.ErrClosed
	case s.file != nil:
		return diskFile{s.file}.size()
	}
	return int64(len(s.mem)), nil
}

func (s *spool) name() string {
	if s.file != nil {
		return s.file.Name()
	}
	return "the tokens in memory (" + s.pattern + ")"
}

// Sync does nothing: a spool does not outlive the process.
func (s *spool) Sync() error { return nil }

// Close lets the file or the memory go.
func (s *spool) Close() error {
	s.mem, s.closed = nil, true
	if s.file == nil {
		return nil
	}
	defer os.Remove(s.file.Name()) // where an open file cannot be removed
	return s.file.Close()
}

// discard closes temporary token files.
func discard(files [2]*spool) {
	for _, f := range files {
		f.Close()
	}
}
