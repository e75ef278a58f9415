package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// maxID bounds token ids, so that a corrupt file cannot ask for a huge table.
// The largest vocabularies in use have about 2^18 tokens.
const maxID = 1 << 22

// Parse reads the contents of a tokenizer.json. data is kept and must not be
// changed. The error names the component that is malformed or not implemented
// and its place in the file.
func Parse(data []byte) (*Tokenizer, error) {
	o, err := parseObject("tokenizer.json", data)
	if err != nil {
		return nil, err
	}
	var version string
	o.get("version", &version, false)
	if version != "" && version != "1.0" {
		o.fail(".version: %q is not 1.0", version)
	}
	o.ignore("truncation", "padding") // for batches of other tools; transformers ignores them too unless asked
	stages := map[string]json.RawMessage{}
	for _, key := range []string{"added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"} {
		stages[key] = o.take(key)
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	t := &Tokenizer{raw: data}
	if err := t.parseStages(stages); err != nil {
		return nil, err
	}
	return t, nil
}

// parseStages reads the components in the order in which they depend on each
// other.
func (t *Tokenizer) parseStages(stages map[string]json.RawMessage) (err error) {
	if t.normalize, err = parseComponent("normalizer", stages["normalizer"], "normalizers", 0, oneNormalizer); err != nil {
		return err
	}
	if t.split, err = parseComponent("pre_tokenizer", stages["pre_tokenizer"], "pretokenizers", 0, oneSplitter); err != nil {
		return err
	}
	if t.byteLevel, err = checkSplitters(t.split, len(t.normalize) > 0); err != nil {
		return err
	}
	if t.model, err = parseModel(stages["model"]); err != nil {
		return err
	}
	t.model.index(t.byteLevel)
	added, err := parseAdded(stages["added_tokens"], t.model)
	if err != nil {
		return err
	}
	t.added = newAddedTokens(added, t.normalize)
	t.fillTokens()
	if t.template, err = parseTemplate(stages["post_processor"], t); err != nil {
		return err
	}
	t.decoders, err = parseComponent("decoder", stages["decoder"], "decoders", 0, oneDecoder)
	return err
}

// fillTokens builds the id → token table.
func (t *Tokenizer) fillTokens() {
	size := uint32(0)
	for _, id := range t.model.vocab {
		size = max(size, id+1)
	}
	for id := range t.added.byID {
		size = max(size, id+1)
	}
	t.tokens = make([]string, size)
	for token, id := range t.model.vocab {
		t.tokens[id] = token
	}
	for id, a := range t.added.byID {
		t.tokens[id] = a.content
	}
}

// parseModel reads the BPE model.
func parseModel(raw json.RawMessage) (*bpe, error) {
	if isNull(raw) {
		return nil, fmt.Errorf("tokenizer: model: missing")
	}
	o, err := parseObject("model", raw)
	if err != nil {
		return nil, err
	}
	kind := "BPE" // files older than the field have no type
	o.get("type", &kind, false)
	if kind != "BPE" {
		return nil, fmt.Errorf("tokenizer: model: type %q is not implemented (only BPE, that of Llama, Qwen, Mistral, "+
			"Gemma, Phi, SmolLM and GPT-2)", kind)
	}
	m := &bpe{}
	o.get("unk_token", &m.unk, false)
	o.get("fuse_unk", &m.fuseUnk, false)
	o.get("byte_fallback", &m.byteFallback, false)
	o.get("ignore_merges", &m.ignoreMerges, false)
	var dropout float64
	o.get("dropout", &dropout, false)
	if dropout != 0 {
		o.fail(".dropout: %g: random merges are not implemented", dropout)
	}
	for _, key := range []string{"continuing_subword_prefix", "end_of_word_suffix"} {
		var s string
		if o.get(key, &s, false); s != "" {
			o.fail(".%s: %q is not implemented", key, s)
		}
	}
	o.get("vocab", &m.vocab, true)
	merges := o.take("merges")
	if err := o.done(); err != nil {
		return nil, err
	}
	if err := checkVocab(m.vocab); err != nil {
		return nil, err
	}
	return m, m.parseMerges(merges)
}

// checkVocab bounds the ids and refuses two tokens with one id.
func checkVocab(vocab map[string]uint32) error {
	seen := make(map[uint32]string, len(vocab))
	for token, id := range vocab {
		if id >= maxID {
			return fmt.Errorf("tokenizer: model.vocab: token %q has id %d, above the limit of %d", token, id, maxID)
		}
		if other, dup := seen[id]; dup {
			return fmt.Errorf("tokenizer: model.vocab: id %d belongs to both %q and %q", id, min(token, other), max(token, other))
		}
		seen[id] = token
	}
	return nil
}

// parseMerges reads merges in either form, ["a b", …] or [["a", "b"], …].
// A pair that is listed twice keeps its last rank, as in the reference.
func (m *bpe) parseMerges(raw json.RawMessage) error {
	if raw == nil {
		return fmt.Errorf("tokenizer: model.merges: missing")
	}
	var pairs [][]string
	// Look before decoding: the largest files hold half a million merges.
	inside := bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(raw), []byte("[")))
	if len(inside) > 0 && inside[0] == '"' {
		var lines []string
		if err := json.Unmarshal(raw, &lines); err != nil {
			return fmt.Errorf("tokenizer: model.merges: %w", err)
		}
		for i, line := range lines {
			if strings.HasPrefix(line, "#version") {
				continue
			}
			parts := strings.Split(line, " ")
			if len(parts) != 2 {
				return fmt.Errorf("tokenizer: model.merges[%d]: %q is not two tokens with one space between", i, line)
			}
			pairs = append(pairs, parts)
		}
	} else if err := json.Unmarshal(raw, &pairs); err != nil {
		return fmt.Errorf("tokenizer: model.merges: neither strings nor pairs of strings: %w", err)
	}
	m.merges = make(map[pair]merge, len(pairs))
	for rank, p := range pairs {
		if len(p) != 2 {
			return fmt.Errorf("tokenizer: model.merges[%d]: %d tokens, want 2", rank, len(p))
		}
		ids := [3]uint32{m.lookup(p[0]), m.lookup(p[1]), m.lookup(p[0] + p[1])}
		for i, token := range []string{p[0], p[1], p[0] + p[1]} {
			if ids[i] == noToken || token == "" {
				return fmt.Errorf("tokenizer: model.merges[%d]: token %q is not in the vocabulary", rank, token)
			}
		}
		m.merges[pairOf(ids[0], ids[1])] = merge{uint32(rank), ids[2]}
	}
	return nil
}

// parseAdded reads added_tokens. The reference implementation ignores the ids
// in the file and counts up from the size of the vocabulary for tokens that
// are not in it; where the two disagree the file is refused.
func parseAdded(raw json.RawMessage, m *bpe) ([]addedToken, error) {
	var members []json.RawMessage
	if !isNull(raw) {
		if err := json.Unmarshal(raw, &members); err != nil {
			return nil, fmt.Errorf("tokenizer: added_tokens: %w", err)
		}
	}
	tokens := make([]addedToken, 0, len(members))
	known := make(map[string]bool, len(members))
	next := uint32(len(m.vocab))
	for i, member := range members {
		o, err := parseObject(fmt.Sprintf("added_tokens[%d]", i), member)
		if err != nil {
			return nil, err
		}
		var t addedToken
		o.get("id", &t.id, true)
		o.get("content", &t.content, true)
		o.get("single_word", &t.singleWord, false)
		o.get("lstrip", &t.lstrip, false)
		o.get("rstrip", &t.rstrip, false)
		o.get("normalized", &t.normalized, true)
		o.get("special", &t.special, true)
		if t.content == "" {
			o.fail(".content: empty")
		}
		if known[t.content] {
			o.fail(".content: %q is listed twice", t.content)
		}
		known[t.content] = true
		want, inVocab := m.vocab[t.content]
		if !inVocab {
			want = next
			next++
		}
		if t.id != want || want >= maxID {
			o.fail(".id: %d for %q, but the reference implementation gives it %d: fix the id or the order", t.id, t.content, want)
		}
		if err := o.done(); err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
	}
	return tokens, nil
}
