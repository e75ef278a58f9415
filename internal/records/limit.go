package records

import (
	"errors"
	"io"
)

// maxRecord is the most bytes of one record of a file whose records are not lines: a
// quote or bracket without its end must not take all of the memory. Tests lower it.
var maxRecord = int64(maxLine)

// maxUnpacked is the most bytes that a compressed Parquet file may unpack to on the
// disk. Tests lower it.
var maxUnpacked = int64(64 << 30)

var errLongRecord = errors.New("too long")

// limitedReader ends with errLongRecord when one record is longer than maxRecord. A
// parser asks for more bytes only while its record is not complete: then all that was
// read since start belongs to it.
type limitedReader struct {
	r     io.Reader
	read  int64 // bytes
	start int64 // offset of the record, set by the parser's user
	err   error // the first error that is not the end
}

func (l *limitedReader) Read(p []byte) (n int, err error) {
	if l.read-l.start > maxRecord {
		err = errLongRecord
	} else {
		n, err = l.r.Read(p)
	}
	l.read += int64(n)
	if err != nil && err != io.EOF && l.err == nil {
		l.err = err
	}
	return n, err
}
