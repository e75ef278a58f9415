package records

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// maxLine is the most bytes of one line.
const maxLine = 256 << 20

// lines gives the lines of the input without their ends; the slice is valid until
// the next one. Each is checked to be UTF-8. With mac, a carriage return alone ends
// a line too, as in files of old Macs.
func (in *input) lines(mac bool, yield func(n int, line []byte) error) error {
	s := bufio.NewScanner(in.r)
	s.Buffer(make([]byte, 1<<16), maxLine)
	if mac {
		s.Split(splitLines)
	}
	n := 0
	for s.Scan() {
		if s.Err() != nil {
			break // the part of the line before the fault is no line
		}
		n++
		line := s.Bytes()
		if err := in.checkText(n, line); err != nil {
			return err
		}
		if err := yield(n, line); err != nil {
			return err
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return in.fail(n+1, "a line of more than %d MB: one JSON object a line is wanted; a list of all is format = \"json\"", maxLine>>20)
	case err != nil:
		return in.fail(n+1, "%v: the file is damaged or cut short", err)
	}
	return nil
}

// splitLines is bufio.ScanLines for \n, \r\n and \r.
func splitLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	i := bytes.IndexAny(data, "\r\n")
	switch {
	case i < 0 && atEOF && len(data) > 0:
		return len(data), data, nil
	case i < 0:
		return 0, nil, nil
	case data[i] == '\n':
		return i + 1, data[:i], nil
	case i+1 < len(data) && data[i+1] == '\n':
		return i + 2, data[:i], nil
	case i+1 < len(data) || atEOF:
		return i + 1, data[:i], nil
	}
	return 0, nil, nil // a \n may follow
}

// checkText wants text in UTF-8.
func (in *input) checkText(n int, line []byte) error {
	if bytes.IndexByte(line, 0) >= 0 {
		return in.fail(n, "a zero byte: not text, or UTF-16 (then: iconv -f UTF-16 -t UTF-8 %s > NEW)", filepath.Base(in.path))
	}
	if utf8.Valid(line) {
		return nil
	}
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRune(line[i:])
		if r == utf8.RuneError && size == 1 {
			return in.fail(n, "byte %d of the line (0x%02x) is not UTF-8: convert the file, e.g. iconv -f ISO-8859-1 -t UTF-8 %s > NEW",
				i+1, line[i], filepath.Base(in.path))
		}
		i += size
	}
	return nil
}

// readJSONL reads one JSON object a line; blank lines are skipped.
func readJSONL(in *input, yield func(Record) error) error {
	return in.lines(false, func(n int, line []byte) error {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			return nil
		}
		var f Fields
		if err := json.Unmarshal(line, &f); err != nil {
			msg := jsonError(line, err).Error()
			if line[0] == '[' {
				msg += `; a list of all documents is format = "json"`
			}
			return in.fail(n, "%s", msg)
		}
		if f == nil {
			return in.fail(n, "null, want an object like {\"text\": \"…\"}")
		}
		return yield(Record{Line: n, Fields: f})
	})
}

// readLines reads plain text, a document a line; blank lines are skipped.
func readLines(in *input, yield func(Record) error) error {
	return in.lines(true, func(n int, line []byte) error {
		if len(bytes.TrimSpace(line)) == 0 {
			return nil
		}
		return yield(Record{Line: n, Text: string(line)})
	})
}

// readParagraphs reads plain text whose documents are divided by blank lines.
func readParagraphs(in *input, yield func(Record) error) error {
	var open []string
	first, docs, last, size := 0, 0, 0, int64(0)
	flush := func() error {
		if len(open) == 0 {
			return nil
		}
		r := Record{Line: first, Text: strings.Join(open, "\n")}
		open, docs, size = open[:0], docs+1, 0
		return yield(r)
	}
	err := in.lines(true, func(n int, line []byte) error {
		if len(bytes.TrimSpace(line)) == 0 {
			return flush()
		}
		if len(open) == 0 {
			first = n
		}
		last = n
		if size += int64(len(line)) + 1; size > maxRecord {
			const say = "the text that begins here has more than %d bytes without a blank line; if each line is a document: format = \"lines\""
			return in.fail(first, say, maxRecord)
		}
		open = append(open, string(line))
		return nil
	})
	if err != nil {
		return err
	}
	if n := last - first + 1; docs == 0 && n > 3 {
		in.note("%s: its %d lines have no blank line between them, so they are one document; if each line is a document: "+
			"format = \"lines\"", in.path, n)
	}
	return flush()
}

// readJSON reads a list of objects, or objects one after another.
func readJSON(in *input, yield func(Record) error) error {
	limit := &limitedReader{r: in.r}
	at := &lineCounter{r: limit}
	dec := json.NewDecoder(at)
	fail := func(err error) error {
		var syntax *json.SyntaxError
		switch {
		case errors.Is(err, errLongRecord):
			const say = "the value that begins here or below has more than %d bytes: is a bracket or quote without its end?"
			return in.fail(at.line(dec.InputOffset()), say, maxRecord)
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return in.fail(at.line(at.read), "the JSON ends in the middle: the file is cut short")
		case errors.As(err, &syntax):
			return in.fail(at.line(syntax.Offset), "not JSON: %v", err)
		}
		return in.fail(at.line(dec.InputOffset()), "%v: the file is damaged or cut short", err)
	}
	head, _ := in.r.Peek(4096) // fewer are fine
	head = bytes.TrimSpace(head)
	if len(head) == 0 {
		return nil
	}
	list := head[0] == '['
	if list {
		if _, err := dec.Token(); err != nil {
			return fail(err)
		}
	}
	for dec.More() {
		limit.start = dec.InputOffset()
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return fail(err)
		}
		r, err := in.object(at.line(dec.InputOffset()-int64(len(raw))), raw, list)
		if err == nil {
			err = yield(r)
		}
		if err != nil {
			return err
		}
	}
	if limit.err != nil { // More is silent about it
		return fail(limit.err)
	}
	if list {
		if _, err := dec.Token(); err != nil {
			return fail(err)
		}
	}
	if dec.More() {
		return in.fail(at.line(dec.InputOffset()), "more after the end of the list")
	}
	return nil
}

// object is one object of a JSON file.
func (in *input) object(n int, raw json.RawMessage, list bool) (Record, error) {
	if err := in.checkText(n, raw); err != nil {
		return Record{}, err
	}
	var f Fields
	if err := json.Unmarshal(raw, &f); err != nil {
		return Record{}, in.fail(n, "%v", jsonError(raw, err))
	}
	if f == nil {
		return Record{}, in.fail(n, "null, want an object like {\"text\": \"…\"}")
	}
	return Record{Line: n, Fields: f}, in.nested(n, f, list)
}

// nested refuses an object whose only list holds the documents.
func (in *input) nested(n int, f Fields, list bool) error {
	if list {
		return nil
	}
	for _, key := range []string{"data", "examples", "rows", "train", "documents", "items"} {
		var inner []map[string]json.RawMessage
		if f[key] != nil && json.Unmarshal(f[key], &inner) == nil && len(inner) > 0 {
			return in.fail(n, "the documents are a list within the object: jq -c '.%s[]' %s > documents.jsonl", key, in.path)
		}
	}
	return nil
}

// lineCounter knows the line of every byte that was read and not yet asked for.
type lineCounter struct {
	r     io.Reader
	read  int64   // bytes
	ends  []int64 // offsets of the line ends that were not passed yet
	lines int     // passed
}

func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i, b := range p[:n] {
		if b == '\n' {
			c.ends = append(c.ends, c.read+int64(i))
		}
	}
	c.read += int64(n)
	return n, err
}

// line is the line of the byte at an offset; offsets must not decrease.
func (c *lineCounter) line(offset int64) int {
	n := 0
	for n < len(c.ends) && c.ends[n] < offset {
		n++
	}
	c.ends = c.ends[n:]
	c.lines += n
	return c.lines + 1
}

// jsonError names the fault of an object, in the reader's terms.
func jsonError(text []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return fmt.Errorf("a JSON %s, want an object like {\"text\": \"…\"}", kind.Value)
	case errors.As(err, &syntax) && text[0] != '{' && text[0] != '[':
		return errors.New("not JSON: a .jsonl file has one JSON object a line (for plain text set format = \"text\", or " +
			"\"lines\" if each line is a document)")
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d: %w: each line must be one complete object", syntax.Offset, err)
	}
	return fmt.Errorf("not JSON: %w", err)
}
