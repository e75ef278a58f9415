package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Halves is a source's text with its held-out documents divided in two: those
// that choices are made by, and those that are reported. Each text is a file's
// content in the source's format; it is empty where there is no document.
type Halves struct {
	Train       []byte // Path's documents that are trained on; nil if all of Path is
	Valid, Test []byte // the held-out documents
	NumValid    int    // documents
	NumTest     int
	Shared      int    // held-out documents that are also trained on
	Ext         string // the extension of the format that Valid and Test are in
}

// Divide reads a source and divides its held-out documents. Documents with the
// same first part (its prompt, or its text) stay together; the distinct first
// parts, in the order of a hash, go to the two halves by turns. So the halves
// do not depend on the order in the file and their sizes differ by at most one
// first part.
func Divide(src Source) (*Halves, error) {
	if err := src.check(); err != nil {
		return nil, err
	}
	train, held, err := src.documents()
	if err != nil {
		return nil, err
	}
	w := documentWriter{lines: map[string][][]byte{}, text: true}
	for _, d := range held {
		w.text = w.text && isTextFile(d.file, src.Format)
	}
	h := &Halves{Ext: ".jsonl"}
	if w.text {
		h.Ext = ".txt"
	}
	if src.Train && src.Holdout > 0 {
		t := documentWriter{lines: w.lines, text: isTextFile(src.Path, src.Format)}
		if h.Train, err = t.write(train, src.Format); err != nil {
			return nil, err
		}
	}
	valid, test := divide(held)
	h.NumValid, h.NumTest, h.Shared = len(valid), len(test), shared(train, held)
	if h.Valid, err = w.write(valid, src.Format); err != nil {
		return nil, err
	}
	h.Test, err = w.write(test, src.Format)
	return h, err
}

// divide puts documents into two halves by their first parts, in file order.
func divide(held []document) (valid, test []document) {
	key := func(d *document) [sha256.Size]byte { return sha256.Sum256([]byte("half\x00" + d.parts[0].text)) }
	var keys [][sha256.Size]byte
	for i := range held {
		keys = append(keys, key(&held[i]))
	}
	slices.SortFunc(keys, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	keys = slices.Compact(keys)
	second := map[[sha256.Size]byte]bool{}
	for i, k := range keys {
		second[k] = i%2 == 1
	}
	for i := range held {
		if second[key(&held[i])] {
			test = append(test, held[i])
		} else {
			valid = append(valid, held[i])
		}
	}
	return valid, test
}

// shared counts the held-out documents that are also trained on.
func shared(train, held []document) (n int) {
	seen := map[digest]bool{}
	for i := range train {
		seen[train[i].digest()] = true
	}
	for i := range held {
		if seen[held[i].digest()] {
			n++
		}
	}
	return n
}

// isTextFile reports whether the file at path is plain text. The format is
// known to be one that is read.
func isTextFile(path, format string) bool {
	f, _ := formatOf(path, format)
	return f == formatText
}

// documentWriter writes documents as they were read: lines of JSON unchanged,
// paragraphs as paragraphs, or as JSON where the file holds JSON too.
type documentWriter struct {
	text  bool                // plain text
	lines map[string][][]byte // of the JSONL files read so far
}

func (w *documentWriter) write(docs []document, format string) ([]byte, error) {
	var out bytes.Buffer
	for _, d := range docs {
		switch {
		case w.text:
			out.WriteString(d.parts[0].text + "\n\n")
		case isTextFile(d.file, format):
			b, err := json.Marshal(map[string]string{"text": d.parts[0].text})
			if err != nil {
				return nil, fmt.Errorf("data: %w", err)
			}
			out.Write(append(b, '\n'))
		default:
			line, err := w.line(d)
			if err != nil {
				return nil, err
			}
			out.Write(append(line, '\n'))
		}
	}
	return out.Bytes(), nil
}

// line is the document's line of its JSONL file.
func (w *documentWriter) line(d document) ([]byte, error) {
	if w.lines[d.file] == nil {
		raw, err := os.ReadFile(d.file)
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		w.lines[d.file] = slices.Collect(bytes.Lines(bytes.TrimPrefix(raw, []byte("\uFEFF"))))
	}
	if d.line > len(w.lines[d.file]) {
		return nil, &Error{d.file, d.line, "the file changed while it was read"}
	}
	return []byte(strings.TrimSpace(string(w.lines[d.file][d.line-1]))), nil
}
