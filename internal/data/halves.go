package data

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"concord/internal/chat"
)

// Halves counts the documents that Divide has found.
type Halves struct {
	Train  int // documents to train on
	Valid  int // held-out documents that choices are made by
	Test   int // held-out documents that are reported
	Shared int // held-out documents that are also trained on
}

// Divide reads a source of one language (of a language column: one that Langs names) and
// divides its held-out documents in two:
// those that choices are made by, and those that are reported. Documents with the
// same key, prompt, or text, stay together; the different ones, in the order of a hash, go
// to the two halves by turns: so the halves do not depend on the order in the file
// and their sizes differ by at most one group. Train, valid and test get the
// documents as canonical JSON lines (see Canonical). The held-out documents are those that LoadAll
// holds out of the same source, empty documents aside.
func Divide(src Source, train, valid, test io.Writer) (*Halves, error) {
	if err := src.check(); err != nil {
		return nil, err
	}
	groups, side, err := src.sides()
	if err != nil {
		return nil, err
	}
	second := everySecond(groups, side)
	h := &Halves{}
	w := map[byte]*bufio.Writer{'t': bufio.NewWriter(train), 'v': bufio.NewWriter(valid), 'e': bufio.NewWriter(test)}
	i := 0
	var heldContents []fingerprint
	trained := map[fingerprint]bool{}
	err = src.each(func(d document, _ bool) error {
		if i >= len(side) {
			return errors.New("data: the files changed while they were read: start again once they are whole")
		}
		to := side[i]
		if to == 'h' {
			heldContents = append(heldContents, d.content())
			if to = 'v'; second[groups[i]] {
				to = 'e'
			}
		} else {
			trained[d.content()] = true
		}
		i++
		h.count(to)
		_, err := w[to].Write(d.canonical())
		return err
	})
	for _, b := range w {
		err = errors.Join(err, b.Flush())
	}
	for _, c := range heldContents {
		if trained[c] {
			h.Shared++
		}
	}
	return h, err
}

// sides are the group of each document, and whether it is to train on ('t') or held
// out ('h').
func (s *Source) sides() (groups []fingerprint, side []byte, err error) {
	err = s.each(func(d document, heldFile bool) error {
		groups = append(groups, d.group())
		held := byte('t')
		if heldFile || !s.Train {
			held = 'h'
		}
		side = append(side, held)
		return nil
	})
	if err != nil || !s.Train || s.Holdout == 0 {
		return groups, side, err
	}
	chosen, err := heldGroups(groups, s.Holdout)
	if err != nil {
		return nil, nil, holdoutError(s, cmp.Or(s.Lang, strings.Join(s.Langs, ", ")), len(groups), err)
	}
	for i, g := range groups {
		if chosen[g] {
			side[i] = 'h'
		}
	}
	return groups, side, nil
}

func (h *Halves) count(to byte) {
	switch to {
	case 't':
		h.Train++
	case 'v':
		h.Valid++
	default:
		h.Test++
	}
}

// everySecond is every other group of the held-out documents, in the order of a hash
// other than the one that chose them.
func everySecond(groups []fingerprint, side []byte) map[fingerprint]bool {
	var held []fingerprint
	for i, g := range groups {
		if side[i] == 'h' {
			held = append(held, g)
		}
	}
	slices.SortFunc(held, func(a, b fingerprint) int {
		switch x, y := mix(a), mix(b); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	second := map[fingerprint]bool{}
	for i, g := range slices.Compact(held) {
		second[g] = i%2 == 1
	}
	return second
}

// mix is another order of fingerprints.
func mix(f fingerprint) uint64 {
	r := random{uint64(f)}
	return r.next()
}

// Languages are those of the source's documents: its own, or those of its column in the
// order of their names.
func (s *Source) Languages() ([]string, error) {
	if s.LangColumn == "" {
		return []string{s.Lang}, nil
	}
	seen := map[string]bool{}
	err := s.each(func(d document, _ bool) error {
		seen[d.lang] = true
		return nil
	})
	return slices.Sorted(maps.Keys(seen)), err
}

// each gives every document of the source to yield, those of held-out files last.
func (s *Source) each(yield func(d document, heldFile bool) error) error {
	for _, set := range []struct {
		paths []string
		held  bool
	}{{s.Paths, false}, {s.Heldout, true}} {
		f := s.files(set.paths, set.held)
		for _, path := range set.paths {
			err := f.documents(path, func(string, ...any) {}, func(d document) error { return yield(d, set.held) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// canonical is the document as a line of JSON in our own form: {"text"}, {"prompt",
// "completion"} or {"messages"}, with "tools" and the messages' other members, and "key"
// where the source has keys.
func (d *document) canonical() []byte {
	var v any
	switch {
	case d.chat != nil:
		v = canonicalChat(d)
	case d.isText:
		v = struct {
			Text string `json:"text"`
			Key  string `json:"key,omitempty"`
		}{d.parts[0].text, d.key}
	default:
		v = struct {
			Prompt     string `json:"prompt"`
			Completion string `json:"completion"`
			Key        string `json:"key,omitempty"`
		}{d.parts[0].text, d.parts[1].text, d.key}
	}
	return marshalLine(v)
}

func canonicalChat(d *document) any {
	c := d.chat
	out := struct {
		Messages []json.RawMessage `json:"messages"`
		Tools    json.RawMessage   `json:"tools,omitempty"`
		Key      string            `json:"key,omitempty"`
	}{Tools: c.Tools, Key: d.key}
	for _, m := range c.Messages {
		object := map[string]any{"role": m.Role, "content": m.Content}
		for k, v := range m.Extra {
			object[k] = v
		}
		if m.Role == chat.RoleAssistant && !m.Train {
			object["weight"] = 0
		}
		out.Messages = append(out.Messages, bytes.TrimSpace(marshalLine(object)))
	}
	return out
}

// marshalLine is v as a line of JSON, letters as they are.
func marshalLine(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings, and JSON that was read
	}
	return b.Bytes()
}
