package data

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"concord/internal/chat"
	"concord/internal/records"
)

// Error is a fault in a data file: the place, the fault, and the fix.
type Error = records.Error

// part is a run of text that is learnt as a whole, or not at all.
type part struct {
	text  string
	learn bool
}

// document is one document of a file, before tokenisation: text, a prompt with its
// answer, or a conversation.
type document struct {
	file   string
	line   int
	lang   string             // of the file's language column; "" without one
	key    string             // names the example in all languages; "" without one
	parts  []part             // of text, of a prompt and its answer, or of a rendered conversation
	chat   *chat.Conversation // of messages: parts follow when it is rendered
	isText bool               // no prompt: may be split, all of it is learnt
}

// textDocument is a document for language modelling.
func textDocument(line int, text string) document {
	return document{line: line, parts: []part{{text, true}}, isText: true}
}

// pairDocument is a prompt and the answer that is learnt.
func pairDocument(prompt, completion string) document {
	return document{parts: []part{{prompt, false}, {completion, true}}}
}

// fingerprint identifies a text by 64 bits of a SHA-256: among ten million texts
// two different ones meet with a probability of 3 in a million.
type fingerprint uint64

func fingerprintOf(texts ...string) fingerprint {
	h := sha256.New()
	for _, t := range texts {
		var n [8]byte
		binary.LittleEndian.PutUint64(n[:], uint64(len(t)))
		h.Write(n[:])
		h.Write([]byte(t))
	}
	return fingerprint(binary.BigEndian.Uint64(h.Sum(nil)))
}

// content is the fingerprint of all of the document's text. White space at the ends
// of its parts does not count. Of a conversation it is asked for before it is rendered.
func (d *document) content() fingerprint {
	var texts []string
	for _, p := range d.parts {
		texts = append(texts, strings.TrimSpace(p.text))
	}
	for _, m := range d.messages() {
		texts = append(texts, m.Role, strings.TrimSpace(m.Content))
	}
	return fingerprintOf(texts...)
}

// group is the fingerprint of documents that are held out together: those with one key
// where the source has keys, so that a translation of a held-out document is not trained on;
// otherwise those with one prompt (and any answer), one first question of a
// conversation, or one text. Of a conversation it is asked for before it is rendered.
func (d *document) group() fingerprint {
	if d.key != "" {
		return fingerprintOf("key", d.key)
	}
	for _, p := range d.parts {
		if text := strings.TrimSpace(p.text); text != "" {
			return fingerprintOf(text)
		}
	}
	for _, m := range d.messages() {
		if text := strings.TrimSpace(m.Content); text != "" && m.Role == chat.RoleUser {
			return fingerprintOf(text)
		}
	}
	return d.content()
}

// messages are those of a conversation.
func (d *document) messages() []chat.Message {
	if d.chat == nil {
		return nil
	}
	return d.chat.Messages
}
