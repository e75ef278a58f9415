// Package jinja renders chat templates as Hugging Face's transformers does.
//
// It is the part of Jinja2 that chat templates use, with the settings of
// transformers: trim_blocks, lstrip_blocks, loop controls, an immutable sandbox,
// tojson as json.dumps(ensure_ascii=False), raise_exception, and
// {% generation %} … {% endgeneration %}, whose places in the text Render
// returns. Statements: if, for, set, macro, call, filter, with, break, continue,
// raw, generation. Parts that are not implemented (include, extends, unknown filters and
// tests, argument unpacking …) are refused by name when the template is read: a
// template that is rendered almost right trains a model on a format that nobody
// will ask it in.
//
// Nothing depends on the machine: strftime_now formats Options.Now. Templates come
// from strangers: steps, output, nesting and ranges are bounded, and nothing in a
// template or its data panics.
//
// The files: scan.go cuts a template into text and tags, parse*.go make the tree,
// exec.go runs statements, eval.go expressions; value.go has Python's rules for
// truth, equality and printing; filters.go, tests.go, methods.go and globals.go
// are the vocabulary. Start reading at Parse and Template.Render.
package jinja
