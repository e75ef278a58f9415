package data

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// Formats of a file.
const (
	formatText  = "text"
	formatJSONL = "jsonl"
)

// Error is a fault in a data file: where, what, and what to do.
type Error struct {
	File string
	Line int // 1-based; 0 = the file as a whole
	Msg  string
}

// Error is "data: FILE:LINE: MSG".
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("data: %s: %s", e.File, e.Msg)
	}
	return fmt.Sprintf("data: %s:%d: %s", e.File, e.Line, e.Msg)
}

// part is a run of text that is learnt as a whole, or not at all.
type part struct {
	text  string
	learn bool
	eos   bool // an EOS token follows, learnt if the part is
}

// document is one document of a file, before tokenisation.
type document struct {
	file   string
	line   int
	parts  []part
	isText bool // no prompt: may be split, all of it is learnt
}

// digest identifies a text.
type digest = [sha256.Size]byte

// digest is that of the document's parts, borders included.
func (d *document) digest() digest {
	h := sha256.New()
	for _, p := range d.parts {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(p.text)))
		h.Write(n[:])
		h.Write([]byte(p.text))
	}
	return digest(h.Sum(nil))
}

// heldOut reports whether the document is among the fraction to hold out. It
// depends on the document's first part alone (its prompt, or its text): a
// prompt with several answers is held out with all of them, and the choice
// survives additions to the file.
func (d *document) heldOut(fraction float64) bool {
	if fraction == 0 {
		return false
	}
	sum := sha256.Sum256([]byte(d.parts[0].text))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11)/(1<<53) < fraction
}

// readFile reads and divides a whole file; the corpus of a fine-tune fits in
// memory many times over.
func readFile(path, format string) ([]document, error) {
	format, err := formatOf(path, format)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	raw, err = checkEncoding(path, raw)
	if err != nil {
		return nil, err
	}
	if format == formatText {
		return parseText(path, string(raw)), nil
	}
	return parseJSONL(path, raw)
}

// formatOf is the format asked for, or else that of the extension.
func formatOf(path, format string) (string, error) {
	if format != "" {
		return format, nil
	}
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".jsonl", ".ndjson":
		return formatJSONL, nil
	case ".txt", ".text":
		return formatText, nil
	case ".gz", ".zst", ".bz2", ".xz", ".zip":
		return "", &Error{path, 0, "compressed files are not read: unpack it first"}
	case ".json":
		return "", &Error{path, 0, "a .json file is not read: write one JSON object a line to a .jsonl file (jq -c '.[]')"}
	case ".csv", ".tsv", ".parquet", ".arrow":
		return "", &Error{path, 0, ext + " files are not read: convert it to .jsonl, one JSON object a line"}
	default:
		return "", &Error{path, 0, fmt.Sprintf("cannot tell the format from the extension %q: set format = \"jsonl\" or \"text\"", ext)}
	}
}

// checkEncoding wants UTF-8, and drops its byte order mark.
func checkEncoding(path string, raw []byte) ([]byte, error) {
	const fix = "the file is UTF-16, want UTF-8: iconv -f UTF-16 -t UTF-8"
	if bytes.HasPrefix(raw, []byte{0xFF, 0xFE}) || bytes.HasPrefix(raw, []byte{0xFE, 0xFF}) {
		return nil, &Error{path, 1, fix}
	}
	raw = bytes.TrimPrefix(raw, []byte("\uFEFF"))
	lineOf := func(i int) int { return 1 + bytes.Count(raw[:i], []byte("\n")) }
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return nil, &Error{path, lineOf(i), "a zero byte: not text, or UTF-16 (then: iconv -f UTF-16 -t UTF-8)"}
	}
	if !utf8.Valid(raw) {
		i := 0
		for i < len(raw) {
			r, n := utf8.DecodeRune(raw[i:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			i += n
		}
		column := i - bytes.LastIndexByte(raw[:i], '\n')
		return nil, &Error{path, lineOf(i), fmt.Sprintf("byte %d of the line (0x%02x) is not UTF-8: convert the file, e.g. iconv -f ISO-8859-1 -t UTF-8", column, raw[i])}
	}
	return raw, nil
}

// parseText divides plain text into paragraphs. Blank lines separate; a
// carriage return before a line feed belongs to the line's end.
func parseText(path, text string) (docs []document) {
	var lines []string
	first, n := 0, 0
	flush := func() {
		if len(lines) > 0 {
			docs = append(docs, textDocument(path, first, strings.Join(lines, "\n")))
		}
		lines = nil
	}
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if strings.TrimSpace(line) == "" {
			flush()
			continue
		}
		if len(lines) == 0 {
			first = n
		}
		lines = append(lines, line)
	}
	flush()
	return docs
}

// textDocument is a document for language modelling.
func textDocument(path string, line int, text string) document {
	return document{path, line, []part{{text, true, true}}, true}
}

// parseJSONL reads one document a line; blank lines are skipped.
func parseJSONL(path string, raw []byte) (docs []document, err error) {
	n := 0
	for line := range bytes.Lines(raw) {
		n++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		d, err := parseLine(line)
		if err != nil {
			return nil, &Error{path, n, err.Error()}
		}
		d.file, d.line = path, n
		docs = append(docs, d)
	}
	return docs, nil
}

// parseLine reads one JSON document.
func parseLine(line []byte) (document, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(line, &keys); err != nil {
		return document{}, jsonError(line, err)
	}
	if err := checkKeys(keys); err != nil {
		return document{}, err
	}
	switch {
	case keys["text"] != nil:
		text, err := stringOf(keys, "text")
		return textDocument("", 0, text), err
	case keys["messages"] != nil:
		return parseMessages(keys["messages"])
	}
	prompt, err1 := stringOf(keys, "prompt")
	completion, err2 := stringOf(keys, "completion")
	return document{parts: []part{{prompt, false, false}, {completion, true, true}}}, errors.Join(err1, err2)
}

// stringOf is the string value of a key.
func stringOf(keys map[string]json.RawMessage, key string) (string, error) {
	var s *string
	if err := json.Unmarshal(keys[key], &s); err != nil || s == nil {
		return "", fmt.Errorf("%q is not a string but %.40s", key, keys[key])
	}
	// encoding/json replaces half a surrogate pair by U+FFFD without a word.
	if strings.ContainsRune(*s, utf8.RuneError) && !bytes.ContainsRune(keys[key], utf8.RuneError) &&
		!bytes.Contains(bytes.ToLower(keys[key]), []byte(`\ufffd`)) {
		return "", fmt.Errorf("%q holds half of a surrogate pair (\\ud800 … \\udfff): write the character itself or both halves", key)
	}
	return *s, nil
}

// parseMessages renders a conversation plainly: see the package comment.
func parseMessages(raw json.RawMessage) (document, error) {
	var messages []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &messages); err != nil {
		return document{}, errors.New(`"messages" is not a list of {"role": "…", "content": "…"}`)
	}
	var d document
	var open strings.Builder // text since the last part: not learnt
	for i, m := range messages {
		for key := range m {
			if key != "role" && key != "content" {
				return d, fmt.Errorf("messages[%d]: unknown key %q: a message has \"role\" and \"content\"", i, key)
			}
		}
		role, err := stringOf(m, "role")
		if err != nil || m["role"] == nil {
			return d, fmt.Errorf("messages[%d]: no role: add \"role\": \"user\", \"assistant\" or \"system\"", i)
		}
		content, err := stringOf(m, "content")
		if err != nil {
			return d, fmt.Errorf("messages[%d]: %w", i, err)
		}
		switch role {
		case "assistant":
			open.WriteString("assistant:")
			d.parts = append(d.parts, part{text: open.String()}, part{" " + content, true, true})
			open.Reset()
			if i < len(messages)-1 {
				open.WriteString("\n")
			}
		case "user", "system", "developer", "tool":
			open.WriteString(role + ": " + content + "\n")
		default:
			return d, fmt.Errorf("messages[%d]: unknown role %q: use user, assistant, system, developer or tool", i, role)
		}
	}
	if open.Len() > 0 || len(d.parts) == 0 {
		d.parts = append(d.parts, part{text: open.String()})
	}
	return d, nil
}
