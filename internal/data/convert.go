package data

import (
	"bufio"
	"errors"
	"io"
)

// errEnough ends a reading that has enough.
var errEnough = errors.New("enough")

// Convert writes a source's documents as canonical JSON lines: {"text"}, {"prompt",
// "completion"} or {"messages"}, at most n of them, or all if n is 0. note is told of
// records that may not be meant. It returns how many documents there were.
func Convert(src Source, w io.Writer, n int, note func(format string, args ...any)) (int, error) {
	if err := src.check(); err != nil {
		return 0, err
	}
	out, docs := bufio.NewWriter(w), 0
	for i, paths := range [][]string{src.Paths, src.Heldout} {
		f := src.files(paths, i == 1)
		for _, path := range paths {
			err := f.documents(path, note, func(d document) error {
				if n > 0 && docs == n {
					return errEnough
				}
				docs++
				_, err := out.Write(d.canonical())
				return err
			})
			if err != nil && err != errEnough {
				return docs, errors.Join(err, out.Flush())
			}
		}
	}
	return docs, out.Flush()
}
