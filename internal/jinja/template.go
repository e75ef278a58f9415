package jinja

import (
	"fmt"
	"strings"
	"time"
)

// Error is a fault in a template, or one that a template reports.
type Error struct {
	Line int // of the template, 1-based
	Msg  string
	// Raised: the template itself refused its input (raise_exception).
	Raised bool
}

// Error is "chat template line N: MSG".
func (e *Error) Error() string { return fmt.Sprintf("chat template line %d: %s", e.Line, e.Msg) }

// fail ends parsing or rendering; Parse and Render return the error.
func fail(line int, format string, args ...any) {
	panic(&Error{Line: line, Msg: fmt.Sprintf(format, args...)})
}

// caught turns the panic of fail into an error.
func caught(err *error) {
	if r := recover(); r != nil {
		e, ok := r.(*Error)
		if !ok {
			panic(r)
		}
		*err = e
	}
}

// Template is a template that was read. Immutable, safe for concurrent use.
type Template struct {
	body       []node
	generation bool
}

// maxSource bounds a template: the largest in use have 30 kB.
const maxSource = 1 << 20

// Parse reads a template. Errors are *Error.
func Parse(source string) (t *Template, err error) {
	defer caught(&err)
	if len(source) > maxSource {
		fail(1, "%d bytes are too many for a chat template (at most %d)", len(source), maxSource)
	}
	p := &parser{tags: scan(source)}
	t = &Template{body: p.until(1)}
	t.generation = p.generation
	return t, nil
}

// HasGeneration reports whether the template marks the text that an assistant generates.
func (t *Template) HasGeneration() bool { return t.generation }

// Span is the half-open range of bytes [Start, End) of a rendered text.
type Span struct{ Start, End int }

// Options are the same for every text of a run.
type Options struct {
	Now time.Time // for strftime_now
}

// Render returns the text that the template makes of data, and the parts of it
// within {% generation %}. The data is not changed. Errors are *Error.
func (t *Template) Render(data *Dict, opt Options) (text string, generated []Span, err error) {
	defer caught(&err)
	s := &state{out: &strings.Builder{}, now: opt.Now, top: true}
	s.scope = newScope(builtins(s))
	for _, k := range data.keys {
		s.scope.vars[k] = data.items[k]
	}
	s.run(t.body)
	return s.out.String(), s.generated, nil
}
