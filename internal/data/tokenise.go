package data

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"concord/internal/records"
)

// fileSet is some files of one source that are tokenised together.
type fileSet struct {
	paths  []string
	format string
	recogniser
	progress func(path string, documents int) // nil: nobody asks
}

// progressEvery is the time between two reports of progress. Tests lower it.
var progressEvery = 5 * time.Second

// chunkDocs and chunkBytes bound the documents that travel to an encoder at once.
const (
	chunkDocs  = 256
	chunkBytes = 1 << 18
)

// chunk is some consecutive documents and their results.
type chunk struct {
	file     int
	docs     []document
	out      []tokenised
	examples [][]Example
	err      error
	done     chan struct{}
}

var errStopped = errors.New("stopped")

// tokenise encodes every document of the files in order: one goroutine reads, several
// encode, this one writes.
func (f *fileSet) tokenise(enc *encoder, w *tokenWriter) error {
	w.sum.Vocab = enc.tok.VocabSize()
	workers := runtime.GOMAXPROCS(0)
	work, order := make(chan *chunk, workers), make(chan *chunk, 2*workers)
	stop := make(chan struct{})
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for c := range work {
				c.encode(enc)
				close(c.done)
			}
		})
	}
	var readErr error
	running.Go(func() {
		defer close(order)
		defer close(work)
		readErr = f.read(w, func(c *chunk) error {
			select {
			case order <- c:
			case <-stop:
				return errStopped
			}
			work <- c
			return nil
		})
	})
	err := writeChunks(w, order)
	close(stop)
	for range order { // let the reader see that it is to stop
	}
	running.Wait()
	return errors.Join(err, ignoreStopped(readErr))
}

func ignoreStopped(err error) error {
	if err == errStopped {
		return nil
	}
	return err
}

// writeChunks adds chunks in their order.
func writeChunks(w *tokenWriter, order <-chan *chunk) error {
	for c := range order {
		<-c.done
		if c.err != nil {
			return c.err
		}
		for i := range c.out {
			c.out[i].file, c.out[i].lang = uint32(c.file), w.lang(c.docs[i].lang)
			if err := w.add(c.out[i], c.examples[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// read divides the files' documents into chunks. It alone writes the summary's notes
// until the last chunk.
func (f *fileSet) read(w *tokenWriter, send func(*chunk) error) error {
	for i, path := range f.paths {
		c, bytes, docs, last := newChunk(i), 0, 0, time.Now()
		flush := func() error {
			full := c
			c, bytes, docs = newChunk(i), 0, docs+len(full.docs)
			if len(full.docs) == 0 {
				return nil
			}
			if f.progress != nil && time.Since(last) >= progressEvery {
				f.progress(path, docs)
				last = time.Now()
			}
			return send(full)
		}
		note := func(format string, args ...any) { w.note(i, path, fmt.Sprintf(format, args...)) }
		err := f.documents(path, note, func(d document) error {
			c.docs = append(c.docs, d)
			bytes += d.bytes()
			if len(c.docs) < chunkDocs && bytes < chunkBytes {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func newChunk(file int) *chunk { return &chunk{file: file, done: make(chan struct{})} }

// documents gives a file's documents to yield, in order, and tells note of columns
// that are not read.
func (f *fileSet) documents(path string, note func(string, ...any), yield func(document) error) error {
	r := f.recogniser
	lineKey, err := f.lineKey(path)
	if err != nil {
		return err
	}
	err = records.Read(path, f.format, note, func(rec records.Record) error {
		if rec.Fields == nil {
			d := textDocument(rec.Line, rec.Text)
			d.file, d.key = path, lineKey(rec.Line)
			return yield(d)
		}
		d, ok, err := r.document(rec.Fields)
		if err != nil {
			return &Error{File: path, Line: rec.Line, Msg: err.Error()}
		}
		if !ok {
			return nil
		}
		d.file, d.line = path, rec.Line
		d.key = cmp.Or(d.key, lineKey(rec.Line))
		return yield(d)
	})
	if err == nil {
		r.tell(path, note)
	}
	return err
}

// encode makes the examples of a chunk's documents.
func (c *chunk) encode(enc *encoder) {
	c.out, c.examples = make([]tokenised, len(c.docs)), make([][]Example, len(c.docs))
	for i := range c.docs {
		d, t := &c.docs[i], &c.out[i]
		// before it is rendered: a template, a system text or a weight moves no document to another group
		t.group, t.content, t.line = d.group(), d.content(), uint32(d.line)
		if c.examples[i], c.err = enc.encode(d, &t.stats); c.err != nil {
			return
		}
		d.parts, d.chat = nil, nil // the text is not needed any more
	}
}

// bytes is the length of the document's text.
func (d *document) bytes() (n int) {
	for _, p := range d.parts {
		n += len(p.text)
	}
	for _, m := range d.messages() {
		n += len(m.Content)
	}
	return n
}
