package data

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"concord/internal/tokenizer"
)

// encoder turns documents into examples.
type encoder struct {
	tok            *tokenizer.Tokenizer
	opt            Options
	all            bool // the prompt is learnt too
	bos, eos       uint32
	useBOS, useEOS bool
}

// newEncoder checks the options.
func newEncoder(tok *tokenizer.Tokenizer, trainOn string, opt Options) (*encoder, error) {
	if opt.MaxLen < 0 {
		return nil, fmt.Errorf("data: max_len %d is negative: use 0 for no bound", opt.MaxLen)
	}
	if !slices.Contains([]string{"", "auto", "drop", Truncate, "split", "error"}, opt.Overlong) {
		return nil, fmt.Errorf("data: overlong %q is not known: use \"auto\", \"drop\", \"truncate\", \"split\" or \"error\"", opt.Overlong)
	}
	e := &encoder{tok: tok, opt: opt, all: trainOn == "all"}
	var ok bool
	e.bos, ok = tok.BOS()
	e.useBOS = ok && tok.AddsBOS() && !opt.NoBOS
	e.eos, ok = tok.EOS()
	e.useEOS = ok && !opt.NoEOS
	return e, nil
}

// identity is everything that decides the tokens of a document, as JSON.
func (e *encoder) identity() any {
	sum := sha256.Sum256(e.tok.Bytes())
	template := ""
	if e.opt.Template != nil {
		template = e.opt.Template.Key()
	}
	return struct {
		Tokenizer      string
		Template       string
		Options        Options
		All            bool
		BOS, EOS       uint32
		UseBOS, UseEOS bool
	}{hex.EncodeToString(sum[:]), template, e.opt, e.all, e.bos, e.eos, e.useBOS, e.useEOS}
}

// encode makes the examples of one document, counting in n.
func (e *encoder) encode(d *document, n *Stats) ([]Example, error) {
	n.Docs++
	if d.empty(e.all) {
		n.Empty++
		return nil, nil
	}
	if d.chat != nil {
		if err := e.render(d, n); err != nil {
			return nil, err
		}
	}
	x, err := e.example(d, n)
	if err != nil {
		return nil, err
	}
	pieces, err := e.fit(d, x, n)
	if err != nil {
		return nil, err
	}
	for _, p := range pieces {
		n.Examples++
		n.Tokens += p.Positions()
		n.Supervised += p.Targets()
		n.Bytes += p.Bytes
	}
	return pieces, nil
}

// empty reports whether there is nothing to learn but white space.
func (d *document) empty(all bool) bool {
	if d.chat != nil {
		return !all && mute(d.chat)
	}
	learnt := false
	for _, p := range d.parts {
		if p.learn || all {
			learnt = true
			if strings.TrimSpace(p.text) != "" {
				return false
			}
		}
	}
	return learnt
}

// example encodes one document, of any length, and counts in n. Its parts
// are one text with one encoding, as users of the model will encode them: the part that
// is learnt follows from the bytes that each token stands for. BOS and EOS are added
// to a text that does not have them, but not to a conversation: whether it has them
// is its template's word.
func (e *encoder) example(d *document, n *Stats) (x Example, err error) {
	text, learnt := e.join(d.parts)
	ids, spans, err := e.tok.EncodeSpans(text)
	if err != nil {
		return x, &Error{File: d.file, Line: d.line, Msg: err.Error()}
	}
	switch {
	case !e.useBOS || d.chat != nil:
	case len(ids) > 0 && ids[0] == e.bos:
		n.OwnMarks++
	default:
		x.IDs, x.Mask = append(x.IDs, e.bos), append(x.Mask, false)
	}
	e.label(&x, ids, spans, learnt, n)
	switch {
	case !e.useEOS || d.chat != nil:
	case len(ids) > 0 && ids[len(ids)-1] == e.eos:
		n.OwnMarks++
	default:
		learn := e.all || len(d.parts) > 0 && d.parts[len(d.parts)-1].learn
		x.IDs, x.Mask = append(x.IDs, e.eos), append(x.Mask, learn && len(x.IDs) > 0)
	}
	return x, nil
}

// join returns the text of the parts, and the learnt part of it: disjoint spans in
// order.
func (e *encoder) join(parts []part) (string, []tokenizer.Span) {
	var text strings.Builder
	var learnt []tokenizer.Span
	for _, p := range parts {
		start := text.Len()
		text.WriteString(p.text)
		if !p.learn && !e.all {
			continue
		}
		if last := len(learnt) - 1; last >= 0 && learnt[last].End == start {
			learnt[last].End = text.Len()
		} else {
			learnt = append(learnt, tokenizer.Span{Start: start, End: text.Len()})
		}
	}
	return text.String(), learnt
}

// label appends tokens, those learnt that lie within a learnt span. A token that
// lies across a border is not learnt, and counted: it begins with text that is
// given. Nothing predicts the first token of an example: it is not learnt either.
func (e *encoder) label(x *Example, ids []uint32, spans, learnt []tokenizer.Span, n *Stats) {
	done := 0 // bytes counted
	for i, s := range spans {
		for len(learnt) > 0 && learnt[0].End <= s.Start {
			learnt = learnt[1:]
		}
		learn := len(learnt) > 0 && learnt[0].Start <= s.Start && s.End <= learnt[0].End
		if !learn && len(learnt) > 0 && learnt[0].Start < s.End {
			n.Straddling++
		}
		learn = learn && len(x.IDs) > 0
		if learn && !e.tok.IsSpecial(ids[i]) {
			x.Bytes += max(0, s.End-max(done, s.Start))
		}
		done = max(done, s.End)
		x.IDs, x.Mask = append(x.IDs, ids[i]), append(x.Mask, learn)
	}
}

// fit makes the document's example fit MaxLen, or leaves it out.
func (e *encoder) fit(d *document, x Example, n *Stats) ([]Example, error) {
	if x.Targets() == 0 {
		n.FullyMasked++
		return nil, nil
	}
	if e.opt.MaxLen == 0 || x.Positions() <= e.opt.MaxLen {
		return []Example{x}, nil
	}
	n.TooLong++
	policy := e.opt.Overlong
	if policy == "" || policy == "auto" {
		policy = "drop"
		if d.isText {
			policy = "split"
		}
	}
	switch policy {
	case "drop":
		return nil, nil
	case Truncate:
		if x = x.truncate(e.opt.MaxLen); x.Targets() == 0 {
			n.FullyMasked++
			return nil, nil
		}
		return []Example{x}, nil
	case "split":
		if !d.isText {
			return nil, &Error{File: d.file, Line: d.line, Msg: fmt.Sprintf("%d tokens, max_len is %d, and an answer cannot be split "+
				"from its prompt: set overlong = \"drop\" or \"truncate\"", x.Positions(), e.opt.MaxLen)}
		}
		pieces := x.split(e.opt.MaxLen)
		n.Pieces += len(pieces)
		return pieces, nil
	}
	return nil, &Error{File: d.file, Line: d.line, Msg: fmt.Sprintf("%d tokens, max_len is %d: shorten it, raise max_len, or "+
		"set overlong = \"drop\"", x.Positions(), e.opt.MaxLen)}
}

// truncate keeps the first positions. The bytes are those of the targets kept,
// in proportion.
func (e *Example) truncate(positions int) Example {
	t := Example{IDs: e.IDs[:positions+1], Mask: e.Mask[:positions+1]}
	t.Bytes = e.Bytes * t.Targets() / e.Targets()
	return t
}

// split cuts the example into pieces of at most so many positions. Neighbours
// share one token, the last target of the one and the first, untrained, of the
// other, so that each target is predicted exactly once.
func (e *Example) split(positions int) []Example {
	var out []Example
	all, done, bytes := e.Targets(), 0, 0
	for at := 0; at < e.Positions(); at += positions {
		end := min(at+positions+1, len(e.IDs))
		p := Example{IDs: e.IDs[at:end], Mask: slices.Clone(e.Mask[at:end])}
		p.Mask[0] = false
		done += p.Targets()
		p.Bytes = e.Bytes*done/all - bytes
		bytes += p.Bytes
		if p.Targets() > 0 {
			out = append(out, p)
		}
	}
	return out
}
