package gguf

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"concord/internal/tokenizer"
)

// Vocabulary has the keys that a file gets of a tokenizer. Ids of -1 stand for none.
type Vocabulary struct {
	Tokenizer          *tokenizer.Tokenizer
	Rows               int // of the embedding: rows without a token get a name
	BOS, EOS, EOT, PAD int // EOT ends a turn, where that is another token than EOS
	ChatTemplate       string
}

// folder is the content of a tokenizer.json; tokenizer.Parse has accepted it.
type folder struct {
	Added []struct {
		ID             int
		Content        string
		Special        bool
		Lstrip, Rstrip bool
		SingleWord     bool `json:"single_word"`
		Normalized     bool
	} `json:"added_tokens"`
	Normalizer any
	Words      any `json:"pre_tokenizer"`
	Model      struct {
		Unknown      *string `json:"unk_token"`
		ByteFallback bool    `json:"byte_fallback"`
		IgnoreMerges bool    `json:"ignore_merges"`
		Vocab        map[string]int
		Merges       []json.RawMessage
	}
	tokens []string
	types  []int32
	merges [][2]string
}

// Metadata are the keys of the tokenizer, as llama.cpp's converter writes them, and the things that
// they cannot say, a line each. A thing that they would say wrongly is an error.
func (v Vocabulary) Metadata() (meta []KV, notes []string, err error) {
	var x folder
	if err := json.Unmarshal(v.Tokenizer.Bytes(), &x); err != nil {
		return nil, nil, fmt.Errorf("gguf: tokenizer.json: %w", err)
	}
	if err := x.fill(v.Rows); err != nil {
		return nil, nil, fmt.Errorf("gguf: tokenizer.json: %w", err)
	}
	if x.Model.ByteFallback {
		meta, err = x.sentencePiece()
	} else {
		meta, err = x.byteLevel()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("gguf: tokenizer.json: %w", err)
	}
	ends, err := v.ends()
	if err != nil {
		return nil, nil, fmt.Errorf("gguf: tokenizer.json: %w", err)
	}
	return append(meta, ends...), x.notes(), nil
}

// fill brings tokens, types and merges into lists.
func (x *folder) fill(rows int) error {
	x.tokens, x.types = make([]string, rows), make([]int32, rows)
	for id := range rows {
		x.tokens[id], x.types[id] = fmt.Sprintf("[PAD%d]", id), tokenUnused
	}
	put := func(id int, token string, kind int32) error {
		if id >= rows {
			return fmt.Errorf("token %q has the id %d, the embedding has %d rows", token, id, rows)
		}
		x.tokens[id], x.types[id] = token, kind
		return nil
	}
	for token, id := range x.Model.Vocab {
		if err := put(id, token, tokenNormal); err != nil {
			return err
		}
		if x.Model.ByteFallback && len(token) == 6 && strings.HasPrefix(token, "<0x") && token[5] == '>' {
			x.types[id] = tokenByte
		}
	}
	for _, a := range x.Added {
		kind := int32(tokenUserDefined)
		if a.Special {
			kind = tokenControl
		}
		if err := put(a.ID, a.Content, kind); err != nil {
			return err
		}
	}
	if u := x.Model.Unknown; u != nil && x.Model.ByteFallback {
		x.types[x.Model.Vocab[*u]] = tokenUnknown
	}
	for _, raw := range x.Model.Merges {
		var pair [2]string
		if json.Unmarshal(raw, &pair) != nil {
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return err
			}
			if strings.HasPrefix(text, "#version") {
				continue
			}
			pair[0], pair[1], _ = strings.Cut(text, " ")
		}
		x.merges = append(x.merges, pair)
	}
	return nil
}

func (x *folder) notes() []string {
	for _, a := range x.Added {
		if a.Lstrip || a.Rstrip || a.SingleWord || a.Normalized && len(steps(x.Normalizer, "normalizers")) > 0 {
			return []string{fmt.Sprintf("the added token %q is found by rules of its own (lstrip, rstrip, single_word or normalized), "+
				"which a GGUF file cannot say: texts that hold it may get other ids", a.Content)}
		}
	}
	return nil
}

func (x *folder) byteLevel() ([]KV, error) {
	name := ""
	for n, s := range splittings {
		normalizer := steps(x.Normalizer, "normalizers")
		plain := len(normalizer) == 0 && (n == "qwen2" || n == "qwen35") // llama.cpp does not normalise
		if same(steps(x.Words, "pretokenizers"), steps(s.words, "pretokenizers")) && x.Model.IgnoreMerges == s.ignoreMerges &&
			(plain || same(normalizer, steps(s.normalizer, "normalizers"))) {
			name = n
		}
	}
	if name == "" {
		return nil, fmt.Errorf("it splits text into words in a way that has no name in GGUF files: those with one are %s; "+
			"export --format safetensors keeps it", strings.Join(slices.Sorted(maps.Keys(splittings)), ", "))
	}
	merges := make([]string, len(x.merges))
	for i, m := range x.merges {
		merges[i] = m[0] + " " + m[1]
	}
	return []KV{{"tokenizer.ggml.model", "gpt2"}, {"tokenizer.ggml.pre", name}, {"tokenizer.ggml.tokens", x.tokens},
		{"tokenizer.ggml.token_type", x.types}, {"tokenizer.ggml.merges", merges}}, nil
}

func (x *folder) sentencePiece() ([]KV, error) {
	prefix, err := x.spacePrefix()
	if err != nil {
		return nil, err
	}
	v := &vocabulary{kind: "llama", tokens: x.tokens, types: x.types, scores: x.scores()}
	all := map[[2]string]bool{}
	for _, m := range v.mergesByScore() {
		all[m] = true
	}
	missing := 0
	for _, m := range x.merges {
		if !all[m] {
			missing++
		}
		delete(all, m)
	}
	if missing+len(all) > 0 {
		return nil, fmt.Errorf("its merges are not those of a score for each token: %d of %d would be lost, %d would be "+
			"new; export --format safetensors keeps them", missing, len(x.merges), len(all))
	}
	return []KV{{"tokenizer.ggml.model", "llama"}, {"tokenizer.ggml.pre", "default"}, {"tokenizer.ggml.tokens", x.tokens},
		{"tokenizer.ggml.scores", v.scores},
		{"tokenizer.ggml.token_type", x.types}, {"tokenizer.ggml.add_space_prefix", prefix}}, nil
}

// scores make the order of merges: a token's is that of its first merge. Tokens whose
// merges lie among each other's share one.
func (x *folder) scores() []float32 {
	type reach struct{ id, first, last int }
	at := map[string]*reach{}
	for rank, m := range x.merges {
		token := m[0] + m[1]
		r := at[token]
		if r == nil {
			r = &reach{x.Model.Vocab[token], rank, rank}
			at[token] = r
		}
		r.last = rank
	}
	order := slices.SortedFunc(maps.Values(at), func(a, b *reach) int { return cmp.Compare(a.first, b.first) })
	out := make([]float32, len(x.tokens))
	end, score := -1, float32(0)
	for _, r := range order {
		if r.first > end {
			score--
		}
		end = max(end, r.last)
		out[r.id] = score
	}
	for id, kind := range x.types {
		if kind == tokenNormal && out[id] == 0 { // that no merge makes
			score--
			out[id] = score
		}
	}
	return out
}

// spacePrefix reports whether texts begin with a space of their own.
func (x *folder) spacePrefix() (bool, error) {
	normalizer, words := steps(x.Normalizer, "normalizers"), steps(x.Words, "pretokenizers")
	replace := object{"type": "Replace", "pattern": object{"String": " "}, "content": "▁"}
	noWords := slices.DeleteFunc(words, func(s object) bool { // there is no space left that it could split at
		return same(s, object{"type": "Split", "pattern": object{"String": " "}, "behavior": "MergedWithPrevious", "invert": false})
	})
	switch {
	case len(noWords) == 0 && same(normalizer, []object{replace}):
		return false, nil
	case len(noWords) == 0 && same(normalizer, []object{{"type": "Prepend", "prepend": "▁"}, replace}):
		return true, nil
	case len(normalizer) == 0 && len(words) == 1 && words[0]["type"] == "Metaspace" && words[0]["replacement"] == "▁" &&
		words[0]["split"] == false:
		return words[0]["prepend_scheme"] != "never", nil
	}
	return false, errors.New("its normalizer and pre_tokenizer are not SentencePiece's, which alone a GGUF file can " +
		"name; export --format safetensors keeps them")
}

// steps are the members of a component, sequences in one list, without settings that
// change no ids.
func steps(component any, list string) []object {
	var out []object
	x, ok := normal(component).(object)
	switch {
	case !ok:
		return nil
	case x["type"] == "Sequence":
		members, _ := x[list].([]any)
		for _, m := range members {
			out = append(out, steps(m, list)...)
		}
		return out
	}
	delete(x, "trim_offsets")
	if _, ok := x["use_regex"]; !ok && x["type"] == "ByteLevel" {
		x["use_regex"] = true
	}
	return []object{x}
}

// normal is x as JSON is read, a copy.
func normal(x any) any {
	text, err := json.Marshal(x)
	if err != nil {
		return nil // it was read from JSON
	}
	var out any
	if json.Unmarshal(text, &out) != nil {
		return nil
	}
	return out
}

func same(a, b any) bool { return reflect.DeepEqual(normal(a), normal(b)) }

// ends are the special tokens, the tokens around a text, and the chat template.
func (v Vocabulary) ends() ([]KV, error) {
	around, err := v.Tokenizer.Encode("", true)
	if err != nil {
		return nil, err
	}
	bos := v.Tokenizer.AddsBOS() && len(around) > 0 && int(around[0]) == v.BOS
	if bos {
		around = around[1:]
	}
	eos := len(around) == 1 && int(around[0]) == v.EOS
	if len(around) > 0 && !eos {
		return nil, fmt.Errorf("its post_processor puts the tokens %v around a text: a GGUF file can ask for BOS and EOS only", around)
	}
	out := []KV{{"tokenizer.ggml.add_bos_token", bos}, {"tokenizer.ggml.add_eos_token", eos}}
	for _, id := range []struct {
		key string
		id  int
	}{{"bos", v.BOS}, {"eos", v.EOS}, {"eot", v.EOT}, {"padding", v.PAD}} {
		if id.id >= 0 {
			out = append(out, KV{"tokenizer.ggml." + id.key + "_token_id", uint32(id.id)})
		}
	}
	if v.ChatTemplate != "" {
		out = append(out, KV{"tokenizer.chat_template", v.ChatTemplate})
	}
	return out, nil
}
