// Package records reads the files that people keep text in: JSON lines, JSON lists,
// CSV, TSV, Parquet and plain text, each also compressed by gzip or zstd. A file is a
// stream of records: columns with JSON values, or pieces of plain text. The meaning of the
// columns is not known here. Start reading at Read.
//
// A file is read as a stream: memory does not grow with its length. No bytes make a
// reader panic; a fault is an *Error with file and line.
package records

import (
	"encoding/json"
	"fmt"
)

// Record is one row of a file.
type Record struct {
	Line   int    // 1-based; of a Parquet file the row
	Fields Fields // nil: plain text
	Text   string
}

// Fields are a record's columns: the keys of a JSON object, the cells of a table's
// row. The values are valid JSON.
type Fields map[string]json.RawMessage

// Error is a fault in a data file: place, fault and fix.
type Error struct {
	File string
	Line int // 1-based line, or row of a Parquet file; 0 = the file as a whole
	Msg  string
}

// Error is "data: FILE:LINE: MSG".
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("data: %s: %s", e.File, e.Msg)
	}
	return fmt.Sprintf("data: %s:%d: %s", e.File, e.Line, e.Msg)
}
