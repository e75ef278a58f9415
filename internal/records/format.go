package records

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// format is a kind of file: how its bytes become records.
type format struct {
	name string
	ext  []string
	read func(in *input, yield func(Record) error) error
}

// formats are the formats that are read. Parquet needs the whole file, the others a stream.
var formats = []format{
	{"jsonl", []string{".jsonl", ".ndjson"}, readJSONL},
	{"json", []string{".json"}, readJSON},
	{"csv", []string{".csv"}, readCSV},
	{"tsv", []string{".tsv", ".tab"}, readTSV},
	{"parquet", []string{".parquet"}, readParquet},
	{"text", []string{".txt", ".text"}, readParagraphs},
	{"lines", nil, readLines},
}

// Formats are the names that a source's format may have.
func Formats() []string {
	var out []string
	for _, f := range formats {
		out = append(out, f.name)
	}
	return out
}

// input is a file that is read.
type input struct {
	path  string
	r     *bufio.Reader // after decompression
	file  *os.File
	plain bool // the file is not compressed

	note func(format string, args ...any) // tells the user of things that may not be meant
}

// fail is an error in the input.
func (in *input) fail(line int, format string, args ...any) error {
	return &Error{in.path, line, fmt.Sprintf(format, args...)}
}

// Read gives every record of the file at path to yield, in order; an error of yield ends
// the reading and is returned. name is the format, "" by the extension; note is told
// of things that may not be meant. Errors of the file are *Error.
func Read(path, name string, note func(format string, args ...any), yield func(Record) error) error {
	f, err := formatOf(path, name)
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	defer file.Close()
	in := &input{path: path, file: file, note: note}
	done, err := in.open()
	if err != nil {
		return err
	}
	defer done()
	return f.read(in, yield)
}

// compressions are the extensions of compressed files.
var compressions = []string{".gz", ".zst", ".zstd"}

// formatOf is the format asked for, or else that of the extension.
func formatOf(path, name string) (format, error) {
	if name != "" {
		for _, f := range formats {
			if f.name == name {
				return f, nil
			}
		}
		return format{}, fmt.Errorf("data: format %q is not known: use %s", name, quoted(Formats()))
	}
	ext := strings.ToLower(filepath.Ext(path))
	if slices.Contains(compressions, ext) {
		ext = strings.ToLower(filepath.Ext(strings.TrimSuffix(path, filepath.Ext(path))))
	}
	for _, f := range formats {
		if slices.Contains(f.ext, ext) {
			return f, nil
		}
	}
	switch ext {
	case ".bz2", ".xz", ".lz4", ".zip", ".7z", ".tar", ".tgz", ".rar":
		return format{}, &Error{path, 0, fmt.Sprintf("%s files are not read (.gz and .zst are): unpack it first", ext)}
	case ".arrow", ".feather":
		return format{}, &Error{path, 0, fmt.Sprintf(`%s files are not read: python -c "from datasets import Dataset; `+
			`Dataset.from_file('%s').to_parquet('%s.parquet')"`, ext, path, strings.TrimSuffix(path, filepath.Ext(path)))}
	case ".xlsx", ".xls", ".ods":
		return format{}, &Error{path, 0, "spreadsheets are not read: save it as .csv (UTF-8)"}
	case ".pdf", ".docx", ".doc", ".odt", ".epub", ".html", ".htm", ".md", ".xml":
		return format{}, &Error{path, 0, fmt.Sprintf("%s files are not read as data: write their text to a .txt file "+
			"(paragraphs, or format = \"lines\") or a .jsonl file", ext)}
	}
	return format{}, &Error{path, 0, fmt.Sprintf("cannot tell the format from the extension %q: set format = %s", ext,
		strings.Join(strings.Split(quoted(Formats()), ", "), " or "))}
}

// open decompresses and looks at the first bytes for files that are no data at all.
func (in *input) open() (done func(), err error) {
	in.r, in.plain, done = bufio.NewReaderSize(in.file, 1<<16), true, func() {}
	head, _ := in.r.Peek(4) // fewer are fine
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(in.r)
		if err != nil {
			return done, in.fail(0, "damaged gzip file: %v", err)
		}
		in.r, in.plain, done = bufio.NewReaderSize(z, 1<<16), false, func() { z.Close() }
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(in.r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<30))
		if err != nil {
			return done, in.fail(0, "damaged zstd file: %v", err)
		}
		in.r, in.plain, done = bufio.NewReaderSize(z, 1<<16), false, z.Close
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("BZh")), bytes.HasPrefix(head, []byte("\xfd7zX")):
		return done, in.fail(0, "an archive or compressed in another way than .gz and .zst: unpack it first")
	}
	head, err = in.r.Peek(64)
	if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
		return done, in.fail(0, "%v: the file is damaged or cut short", err)
	}
	lower := bytes.ToLower(bytes.TrimSpace(head))
	switch {
	case bytes.HasPrefix(head, []byte("version https://git-lfs")):
		return done, in.fail(0, "a git-lfs pointer, not the data: git lfs install; git lfs pull")
	case bytes.HasPrefix(lower, []byte("<!doctype html")), bytes.HasPrefix(lower, []byte("<html")):
		return done, in.fail(0, "a page of the web, not data: download the file itself (on the Hugging Face hub its address "+
			"has /resolve/, not /blob/)")
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}), bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		return done, in.fail(1, "the file is UTF-16, want UTF-8: iconv -f UTF-16 -t UTF-8 %s > NEW", filepath.Base(in.path))
	case bytes.HasPrefix(head, []byte("\uFEFF")):
		in.r.Discard(3)
	}
	return done, nil
}

// FormatOf is the name of the format that Read reads the file in: name, or else that of
// the extension.
func FormatOf(path, name string) (string, error) {
	f, err := formatOf(path, name)
	return f.name, err
}

// quoted lists names in quotes.
func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(out, ", ")
}
