package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Span is the half-open range of bytes [Start, End) of a text.
type Span struct{ Start, End int }

// view is text on its way through the stages, with the place of each of its
// bytes in the source text.
type view struct {
	text string
	at   int    // of text[0]: in the source, or in from
	from []Span // the source of each byte of a changed text; nil: text is the source's own
}

// cut returns text[i:j].
func (v view) cut(i, j int) view { return view{v.text[i:j], v.at + i, v.from} }

// source returns the bytes of the source that text[i:j], which is not empty, was
// made from.
func (v view) source(i, j int) Span {
	if v.from == nil {
		return Span{v.at + i, v.at + j}
	}
	return Span{v.from[v.at+i].Start, v.from[v.at+j-1].End}
}

// editor makes a changed copy of a view, front to back.
type editor struct {
	src     view
	out     strings.Builder
	from    []Span
	done    int // bytes of src that have been taken
	changed bool
}

// copy takes text[done:end] as it is.
func (e *editor) copy(end int) {
	e.grow()
	e.out.WriteString(e.src.text[e.done:end])
	for i := e.done; i < end; i++ {
		e.from = append(e.from, e.src.source(i, i+1))
	}
	e.done = end
}

// put takes text[done:end], which is not empty, and writes with in its place.
func (e *editor) put(end int, with string) {
	e.write(with, e.src.source(e.done, end))
	e.done = end
}

// insert writes with before the next character, and there must be one, and
// counts it to that character.
func (e *editor) insert(with string) {
	_, w := utf8.DecodeRuneInString(e.src.text[e.done:])
	e.write(with, e.src.source(e.done, e.done+w))
}

func (e *editor) write(with string, s Span) {
	e.grow()
	e.out.WriteString(with)
	for range len(with) {
		e.from = append(e.from, s)
	}
	e.changed = true
}

// view copies the rest and returns the result: the source itself if nothing
// was put.
func (e *editor) view() view {
	if !e.changed {
		return e.src
	}
	e.copy(len(e.src.text))
	return view{e.out.String(), 0, e.from}
}

// replaceAll writes new for each old in v, left to right.
func replaceAll(e *editor, old, new string) {
	for {
		i := strings.Index(e.src.text[e.done:], old)
		if i < 0 {
			return
		}
		e.copy(e.done + i)
		e.put(e.done+len(old), new)
	}
}

// grow reserves room once, for a result about as long as the source.
func (e *editor) grow() {
	if e.from == nil {
		n := len(e.src.text) + len(e.src.text)/2 + 8
		e.from = make([]Span, 0, n)
		e.out.Grow(n)
	}
}

// output collects the tokens of a text.
type output struct {
	ids   []uint32
	spans []Span // of ids, if track is set
	track bool
}

// token adds one token that was made from v.
func (o *output) token(id uint32, v view) {
	o.ids = append(o.ids, id)
	if o.track {
		o.spans = append(o.spans, v.source(0, len(v.text)))
	}
}

// symbols adds the tokens of the piece v.
func (o *output) symbols(v view, symbols []symbol) {
	for _, s := range symbols {
		o.ids = append(o.ids, s.id)
	}
	if !o.track {
		return
	}
	at := 0
	for _, s := range symbols {
		end := at + int(s.width)
		o.spans = append(o.spans, v.source(min(at, end-1), end)) // a symbol without bytes of its own shares those before
		at = end
	}
}
