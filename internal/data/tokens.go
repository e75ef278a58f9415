package data

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"
	"strings"
)

// The token files of some data files: NAME.ids holds every example (the bytes of its
// targets' text, then its tokens, four bytes each, a target with the highest bit
// set, then a CRC-32 of them); NAME.docs holds, for every document, its fingerprints, its counts and the
// lengths of its examples, then a summary as JSON with its length and a checksum.
// They are read by position, not mapped into memory: a fault of the disk is an
// error then, and not the end of the process.
const (
	idsSuffix, docsSuffix = ".ids", ".docs"
	targetBit             = 1 << 31
	extraWords            = 2 // of an example, beside its tokens: the bytes of its text and the checksum
)

var (
	crcTable = crc64.MakeTable(crc64.ECMA)
	idsTable = crc32.MakeTable(crc32.Castagnoli)
)

// tokenised is the result of one document.
type tokenised struct {
	group, content fingerprint
	file, line     uint32 // where it stands
	lang           uint32 // number in the summary's languages
	stats          Stats
	lengths        []uint32 // tokens of each example
}

// summary closes a token file.
type summary struct {
	Docs     int
	Examples int
	Words    int64 // of the ids, four bytes each
	Vocab    int   // every id is below it
	Files    []string
	Langs    []string // of the language column; [""] without one
	Notes    []note   // on the files, for the user
}

// note is a sentence for the user about one of the files; fileMark stands for its path,
// as the file may have another one in a later run.
type note struct {
	File int
	Text string
}

const fileMark = "\x00"

// notes are the summary's sentences with the paths of now.
func (s *summary) notes() []string {
	var out []string
	for _, n := range s.Notes {
		out = append(out, strings.ReplaceAll(n.Text, fileMark, s.Files[n.File]))
	}
	return out
}

// tokenFile is an open pair of token files.
type tokenFile struct {
	ids  tokenStore
	docs tokenStore
	body int64 // bytes of the documents, before the summary
	sum  summary
}

// tokenWriter writes a pair of token files.
type tokenWriter struct {
	ids, docs   tokenStore
	idsW, docsW *bufio.Writer
	crc         uint64
	sum         summary
	langs       map[string]uint32
	buf         []byte
}

func newTokenWriter(ids, docs tokenStore) *tokenWriter {
	idsW, docsW := bufio.NewWriterSize(ids, 1<<16), bufio.NewWriterSize(docs, 1<<16)
	return &tokenWriter{ids: ids, docs: docs, idsW: idsW, docsW: docsW, langs: map[string]uint32{}}
}

// lang is the number of a language.
func (w *tokenWriter) lang(name string) uint32 {
	n, ok := w.langs[name]
	if !ok {
		n = uint32(len(w.sum.Langs))
		w.langs[name] = n
		w.sum.Langs = append(w.sum.Langs, name)
	}
	return n
}

// note remembers a sentence for the user about the file of a number.
func (w *tokenWriter) note(file int, path, text string) {
	w.sum.Notes = append(w.sum.Notes, note{file, strings.ReplaceAll(text, path, fileMark)})
}

// add writes one document and its examples.
func (w *tokenWriter) add(d tokenised, examples []Example) error {
	b := w.buf[:0]
	for i := range examples {
		x, start := &examples[i], len(b)
		b = binary.LittleEndian.AppendUint32(b, uint32(x.Bytes))
		for j, id := range x.IDs {
			if x.Mask[j] {
				id |= targetBit
			}
			b = binary.LittleEndian.AppendUint32(b, id)
		}
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], idsTable))
		d.lengths = append(d.lengths, uint32(len(x.IDs)))
		w.sum.Words += int64(len(x.IDs)) + extraWords
	}
	if _, err := w.idsW.Write(b); err != nil {
		return &storageError{err}
	}
	w.buf = d.append(b[:0])
	w.crc = crc64.Update(w.crc, crcTable, w.buf)
	w.sum.Docs++
	w.sum.Examples += len(examples)
	if _, err := w.docsW.Write(w.buf); err != nil {
		return &storageError{err}
	}
	return nil
}

// storageError says that tokens cannot be written, for any data: the disk is full,
// say.
type storageError struct{ err error }

func (e *storageError) Error() string { return e.err.Error() }
func (e *storageError) Unwrap() error { return e.err }

// append adds the document's bytes to b.
func (d *tokenised) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(d.group))
	b = binary.LittleEndian.AppendUint64(b, uint64(d.content))
	b = binary.LittleEndian.AppendUint32(b, d.file)
	b = binary.LittleEndian.AppendUint32(b, d.line)
	b = binary.LittleEndian.AppendUint32(b, d.lang)
	for _, n := range d.stats.counts() {
		b = binary.LittleEndian.AppendUint32(b, uint32(*n))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(d.lengths)))
	for _, n := range d.lengths {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	return b
}

// fixedBytes is the length of a document without its examples' lengths.
var fixedBytes = 8 + 8 + 4 + 4 + 4 + 4*len(new(Stats).counts()) + 4

// read reads a document; its lengths are valid until the next one.
func (d *tokenised) read(r *bufio.Reader, buf []byte) ([]byte, error) {
	buf = buf[:fixedBytes]
	if _, err := io.ReadFull(r, buf); err != nil {
		return buf, err
	}
	u32 := func() (v uint32) { v, buf = binary.LittleEndian.Uint32(buf), buf[4:]; return v }
	all := buf
	d.group, d.content = fingerprint(binary.LittleEndian.Uint64(buf)), fingerprint(binary.LittleEndian.Uint64(buf[8:]))
	buf = buf[16:]
	d.file, d.line, d.lang = u32(), u32(), u32()
	for _, n := range d.stats.counts() {
		*n = int(u32())
	}
	d.lengths = d.lengths[:0]
	for range u32() {
		var n [4]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return all, err
		}
		d.lengths = append(d.lengths, binary.LittleEndian.Uint32(n[:]))
	}
	return all, nil
}

// close writes the summary and everything that is still on its way; with sync, to the
// disk.
func (w *tokenWriter) close(sync bool) error {
	text, err := json.Marshal(w.sum)
	if err != nil {
		return err
	}
	text = binary.LittleEndian.AppendUint64(text, uint64(len(text)))
	text = binary.LittleEndian.AppendUint64(text, crc64.Update(w.crc, crcTable, text))
	_, err = w.docsW.Write(text)
	err = errors.Join(err, w.docsW.Flush(), w.idsW.Flush())
	if sync && err == nil {
		err = errors.Join(w.ids.Sync(), w.docs.Sync())
	}
	return err
}

// openTokens opens a pair of token files, which belong to it from then on, and checks
// them.
func openTokens(ids, docs tokenStore) (*tokenFile, error) {
	t := &tokenFile{ids: ids, docs: docs}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("data: %s: %w", docs.name(), err)
	}
	return t, nil
}

// check reads the summary and compares checksum and lengths.
func (t *tokenFile) check() error {
	size, err := t.docs.size()
	if err != nil {
		return err
	}
	var tail [16]byte
	end := size - int64(len(tail))
	if end < 0 {
		return io.ErrUnexpectedEOF
	}
	if _, err := t.docs.ReadAt(tail[:], end); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint64(tail[:8]))
	if n < 0 || n > end {
		return errors.New("damaged")
	}
	t.body = end - n
	text := make([]byte, n)
	if _, err := t.docs.ReadAt(text, t.body); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &t.sum); err != nil {
		return err
	}
	sum := crc64.New(crcTable)
	if _, err := io.Copy(sum, io.NewSectionReader(t.docs, 0, end+8)); err != nil {
		return err
	}
	if sum.Sum64() != binary.LittleEndian.Uint64(tail[8:]) {
		return errors.New("damaged: its checksum is another")
	}
	if size, err = t.ids.size(); err != nil {
		return err
	}
	if size != 4*t.sum.Words {
		return fmt.Errorf("the file of ids has %d bytes, not %d", size, 4*t.sum.Words)
	}
	return nil
}

// each gives every document to f, with the place of its first example.
func (t *tokenFile) each(f func(d *tokenised, at int64) error) error {
	r := bufio.NewReaderSize(io.NewSectionReader(t.docs, 0, t.body), 1<<16)
	var d tokenised
	buf, at := make([]byte, fixedBytes), int64(0)
	for range t.sum.Docs {
		var err error
		if buf, err = d.read(r, buf); err != nil {
			return fmt.Errorf("data: %s: %w", t.docs.name(), err)
		}
		if err := f(&d, at); err != nil {
			return err
		}
		for _, n := range d.lengths {
			at += int64(n) + extraWords
		}
	}
	return nil
}

// example reads the example of n tokens at a place and checks it: a disk that gives
// other bytes back is an error.
func (t *tokenFile) example(at int64, n int) (Example, error) {
	raw := make([]byte, 4*(n+extraWords))
	_, err := t.ids.ReadAt(raw, 4*at)
	var x Example
	if err == nil {
		if x, err = parseExample(raw, n, t.sum.Vocab); err == nil {
			return x, nil
		}
		err = fmt.Errorf("%w, at byte %d", err, 4*at)
	}
	const fix = "remove the file if it is there and start again: the tokens are then made anew"
	return Example{}, fmt.Errorf("data: %s: %w; %s", t.ids.name(), err, fix)
}

// parseExample checks the bytes of an example of n tokens of a vocabulary, and takes them apart.
func parseExample(raw []byte, n, vocab int) (Example, error) {
	body := raw[:4*(n+1)]
	if crc32.Checksum(body, idsTable) != binary.LittleEndian.Uint32(raw[len(body):]) {
		return Example{}, errors.New("damaged: the checksum is another")
	}
	x := Example{IDs: make([]uint32, n), Mask: make([]bool, n), Bytes: int(binary.LittleEndian.Uint32(body))}
	for i := range n {
		id := binary.LittleEndian.Uint32(body[4*(i+1):])
		x.IDs[i], x.Mask[i] = id&^targetBit, id&targetBit != 0
		if int64(x.IDs[i]) >= int64(vocab) {
			return Example{}, fmt.Errorf("token %d of number %d, the vocabulary has %d", i, x.IDs[i], vocab)
		}
	}
	return x, nil
}
