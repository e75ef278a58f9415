package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"unicode/utf8"
)

// The names that concord's own tokenizers give to the tokens that begin and end
// a document.
const (
	BOSToken = "<|bos|>"
	EOSToken = "<|eos|>"
)

// Tokenizer is one loaded tokenizer.json. Immutable, safe for concurrent use.
type Tokenizer struct {
	raw       []byte // the file
	model     *bpe
	added     *addedTokens
	normalize []normalizer
	split     []splitter
	byteLevel bool // pieces go to the model as raw bytes
	template  template
	decoders  []decoder // nil: tokens joined by spaces
	tokens    []string  // by id; "" = no such id
	config    names
	eos       []uint32 // eos_token_id of the folder's config.json or generation_config.json
}

// Load reads path, a tokenizer.json. If a tokenizer_config.json lies beside
// it, BOS and EOS take their names from there; a name that is not in the
// vocabulary is an error. EOS may also come from the model's config.json.
func Load(path string) (*Tokenizer, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, t.readFolder(filepath.Dir(path))
}

// Bytes returns the tokenizer.json this tokenizer was made from, byte for byte.
// The caller must not change it.
func (t *Tokenizer) Bytes() []byte { return t.raw }

// Save writes the tokenizer.json to path, byte for byte as it was loaded.
func (t *Tokenizer) Save(path string) error {
	if err := os.WriteFile(path, t.raw, 0o644); err != nil {
		return fmt.Errorf("tokenizer: save: %w", err)
	}
	return nil
}

// VocabSize is the largest token id plus one: the least number of rows that an
// embedding table needs.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// TokenToID returns the id of a token as the file spells it (byte-level tokens
// in their printable spelling).
func (t *Tokenizer) TokenToID(token string) (id uint32, ok bool) {
	if id, ok = t.added.ids[token]; ok {
		return id, true
	}
	id, ok = t.model.vocab[token]
	return id, ok
}

// IDToToken is the inverse of TokenToID.
func (t *Tokenizer) IDToToken(id uint32) (token string, ok bool) {
	if int64(id) >= int64(len(t.tokens)) || t.tokens[id] == "" {
		return "", false
	}
	return t.tokens[id], true
}

// IsSpecial reports whether id is a special added token: one that decoding
// leaves out when asked to.
func (t *Tokenizer) IsSpecial(id uint32) bool {
	a, ok := t.added.byID[id]
	return ok && a.special
}

// Encode returns the token ids of text, with the post-processor's special
// tokens (BOS …) when addSpecial is set. Added tokens that occur in the text,
// special ones included, become their ids in either case.
//
// Errors: text that is not valid UTF-8, a character that the vocabulary cannot
// express where the file names no unknown token, or a regular expression of
// the file that takes unreasonably long.
func (t *Tokenizer) Encode(text string, addSpecial bool) ([]uint32, error) {
	out := output{ids: make([]uint32, 0, len(text)/3+4)}
	if err := t.encodeText(&out, text); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if addSpecial {
		return t.template.apply(out.ids), nil
	}
	return out.ids, nil
}

// EncodeSpans is Encode without special tokens, and the bytes of text that each
// token stands for. Spans are those of the text as given, before all that normalizers
// and pre-tokenizers make of it: a token that holds a part of a character spans
// that part where the character was not changed, else the whole character; a
// token of inserted text (a prepended "▁") spans the character after it.
func (t *Tokenizer) EncodeSpans(text string) (ids []uint32, spans []Span, err error) {
	room := len(text)/3 + 4
	out := output{ids: make([]uint32, 0, room), spans: make([]Span, 0, room), track: true}
	if err := t.encodeText(&out, text); err != nil {
		return nil, nil, fmt.Errorf("tokenizer: %w", err)
	}
	return out.ids, out.spans, nil
}

// encodeText is stages 1 to 5 of the package comment.
func (t *Tokenizer) encodeText(out *output, text string) error {
	if i := invalidUTF8(text); i >= 0 {
		return fmt.Errorf("text is not valid UTF-8 at byte %d (0x%02x): convert it first", i, text[i])
	}
	for _, raw := range t.added.exact.cut(view{text: text}) {
		if raw.token != noToken {
			out.token(raw.token, raw.view)
			continue
		}
		for _, s := range t.added.normal.cut(normalizeAll(raw.view, t.normalize)) {
			if s.token != noToken {
				out.token(s.token, s.view)
			} else if err := t.encodeSegment(out, s.view, raw.first && s.first); err != nil {
				return err
			}
		}
	}
	return nil
}

// encodeSegment splits text between added tokens into pieces and encodes them.
// first: text begins at the beginning of the input.
func (t *Tokenizer) encodeSegment(out *output, text view, first bool) error {
	step := func(v view) error { return t.model.encode(out, v) }
	for _, s := range slices.Backward(t.split) {
		next := step
		step = func(v view) error { return s.split(v, first, next) }
	}
	return step(text)
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8, or −1.
func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, w := utf8.DecodeRuneInString(s[i:]); w == 1 {
				return i
			}
		}
	}
	return -1
}
