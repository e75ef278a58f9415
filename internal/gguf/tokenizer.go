package gguf

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"concord/internal/tokenizer"
)

// The types of tokens, as llama.cpp numbers them.
const (
	tokenNormal      = 1
	tokenUnknown     = 2
	tokenControl     = 3
	tokenUserDefined = 4
	tokenUnused      = 5
	tokenByte        = 6
)

// vocabulary has the metadata of the tokenizer.
type vocabulary struct {
	f        *File
	kind     string // tokenizer.ggml.model
	tokens   []string
	types    []int32 // nil: all are normal
	merges   []string
	scores   []float32
	bos, eos int // -1 = none
}

// TokenizerFiles makes the tokenizer's files of a Hugging Face folder, by name:
// tokenizer.json, tokenizer_config.json with the chat template, and
// generation_config.json with the tokens that end an answer.
func (f *File) TokenizerFiles() (map[string][]byte, error) {
	v, err := f.vocabulary()
	if err != nil {
		return nil, fmt.Errorf("gguf: %s: %w", f.Path, err)
	}
	main, err := v.tokenizer()
	if err != nil {
		return nil, fmt.Errorf("gguf: %s: %w", f.Path, err)
	}
	out := map[string][]byte{}
	files := map[string]any{"tokenizer.json": main, "tokenizer_config.json": v.config(), "generation_config.json": v.generation()}
	for name, value := range files {
		if out[name], err = json.MarshalIndent(value, "", "  "); err != nil {
			return nil, fmt.Errorf("gguf: %s: %s: %w", f.Path, name, err)
		}
	}
	if _, err := tokenizer.Parse(out["tokenizer.json"]); err != nil {
		return nil, fmt.Errorf("gguf: %s: the tokenizer of its metadata: %w", f.Path, err)
	}
	return out, nil
}

// maxToken bounds a token: every way to cut one in two is tried. The longest of real
// vocabularies, runs of white space, have some hundred bytes.
const maxToken = 8 << 10

func (f *File) vocabulary() (*vocabulary, error) {
	v := &vocabulary{f: f, bos: -1, eos: -1}
	var ok bool
	if v.kind, ok = Value[string](f, "tokenizer.ggml.model"); !ok {
		return nil, fmt.Errorf("there is no tokenizer.ggml.model")
	}
	if v.tokens, ok = Value[[]string](f, "tokenizer.ggml.tokens"); !ok {
		return nil, fmt.Errorf("there are no tokenizer.ggml.tokens")
	}
	v.types, _ = Value[[]int32](f, "tokenizer.ggml.token_type")
	v.merges, _ = Value[[]string](f, "tokenizer.ggml.merges")
	v.scores, _ = Value[[]float32](f, "tokenizer.ggml.scores")
	if v.types != nil && len(v.types) != len(v.tokens) || v.scores != nil && len(v.scores) != len(v.tokens) {
		return nil, fmt.Errorf("%d tokens have %d types and %d scores", len(v.tokens), len(v.types), len(v.scores))
	}
	for id, token := range v.tokens {
		if len(token) > maxToken {
			return nil, fmt.Errorf("token %d has %d bytes; %d are supported", id, len(token), maxToken)
		}
	}
	for key, to := range map[string]*int{"bos": &v.bos, "eos": &v.eos} {
		if id, err := f.Int("tokenizer.ggml." + key + "_token_id"); err == nil {
			if id < 0 || id >= len(v.tokens) {
				return nil, fmt.Errorf("tokenizer.ggml.%s_token_id is %d of %d tokens", key, id, len(v.tokens))
			}
			*to = id
		}
	}
	return v, nil
}

// object is a JSON object.
type object = map[string]any

// kindOf is a token's type.
func (v *vocabulary) kindOf(id int) int32 {
	if v.types == nil {
		return tokenNormal
	}
	return v.types[id]
}

// vocab maps tokens to ids, without the names that fill up unused rows.
func (v *vocabulary) vocab() map[string]int {
	out := make(map[string]int, len(v.tokens))
	for id, token := range v.tokens {
		if _, ok := out[token]; !ok && v.kindOf(id) != tokenUnused {
			out[token] = id
		}
	}
	return out
}

// added are the tokens that no text is merged into: special ones, and those that
// a text may hold.
func (v *vocabulary) added() []object {
	out := []object{}
	for id, token := range v.tokens {
		kind := v.kindOf(id)
		if kind != tokenControl && kind != tokenUserDefined && !(kind == tokenUnknown && v.kind == "llama") {
			continue
		}
		out = append(out, object{"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
			"special": kind != tokenUserDefined})
	}
	return out
}

func (v *vocabulary) tokenizer() (object, error) {
	out := object{"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": v.added(), "normalizer": nil}
	var err error
	switch v.kind {
	case "gpt2":
		err = v.byteLevel(out)
	case "llama":
		err = v.sentencePiece(out)
	default:
		return nil, fmt.Errorf("tokenizer.ggml.model %q is not supported: supported are gpt2 (byte-level BPE) and llama (SentencePiece)", v.kind)
	}
	if out["post_processor"] == nil {
		out["post_processor"] = v.template()
	}
	return out, err
}

// byteLevel is BPE over bytes; how a text is split into words stands in
// tokenizer.ggml.pre.
func (v *vocabulary) byteLevel(out object) error {
	name, _ := Value[string](v.f, "tokenizer.ggml.pre")
	if same := aliases[name]; same != "" {
		name = same
	}
	w, ok := splittings[name]
	if !ok {
		return fmt.Errorf("tokenizer.ggml.pre %q is not supported: supported are %s", name,
			strings.Join(slices.Sorted(maps.Keys(splittings)), ", "))
	}
	if v.merges == nil {
		return fmt.Errorf("there are no tokenizer.ggml.merges")
	}
	out["normalizer"], out["pre_tokenizer"], out["decoder"] = w.normalizer, w.words, level(true)
	out["model"] = bpe(object{"unk_token": nil, "fuse_unk": false, "byte_fallback": false, "ignore_merges": w.ignoreMerges,
		"vocab": v.vocab(), "merges": v.merges})
	return nil
}

// splitting is how a byte-level tokenizer cuts a text into words.
type splitting struct {
	normalizer   any
	words        object
	ignoreMerges bool
}

func level(regex bool) object {
	return object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex}
}

func split(pattern string) object {
	words := object{"type": "Split", "pattern": object{"Regex": pattern}, "behavior": "Isolated", "invert": false}
	return object{"type": "Sequence", "pretokenizers": []object{words, level(false)}}
}

// splittings are the patterns by the names in tokenizer.ggml.pre.
var splittings = map[string]splitting{
	"llama-bpe": {words: split(tokenizer.PatternLlama3), ignoreMerges: true},
	"smaug-bpe": {words: split(tokenizer.PatternLlama3)},
	"qwen2":     {words: split(tokenizer.PatternQwen2), normalizer: object{"type": "NFC"}},
	"qwen35":    {words: split(tokenizer.PatternQwen35), normalizer: object{"type": "NFC"}},
	"smollm":    {words: object{"type": "Sequence", "pretokenizers": []object{{"type": "Digits", "individual_digits": true}, level(true)}}},
	"gpt-2":     {words: level(true)},
}

// aliases are other names for the same.
var aliases = map[string]string{"llama3": "llama-bpe", "llama-v3": "llama-bpe"}

// bpe is a BPE model of these settings.
func bpe(settings object) object {
	out := object{"type": "BPE", "dropout": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil}
	maps.Copy(out, settings)
	return out
}

// sentencePiece is BPE by scores with bytes for characters that are not in the vocabulary, as
// Llama 2's, Mistral's, Gemma's and Phi-3's.
func (v *vocabulary) sentencePiece(out object) error {
	if v.scores == nil {
		return fmt.Errorf("there are no tokenizer.ggml.scores")
	}
	replace := object{"type": "Replace", "pattern": object{"String": " "}, "content": "▁"}
	decoders := []object{{"type": "Replace", "pattern": object{"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}}
	if prefix, ok := Value[bool](v.f, "tokenizer.ggml.add_space_prefix"); ok && !prefix {
		out["normalizer"] = replace
		out["pre_tokenizer"] = nil
	} else {
		out["normalizer"] = object{"type": "Sequence", "normalizers": []object{{"type": "Prepend", "prepend": "▁"}, replace}}
		decoders = append(decoders, object{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	unknown := any(nil)
	for id, token := range v.tokens {
		if v.kindOf(id) == tokenUnknown {
			unknown = token
		}
	}
	out["decoder"] = object{"type": "Sequence", "decoders": decoders}
	out["model"] = bpe(object{"unk_token": unknown, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
		"vocab": v.vocab(), "merges": v.mergesByScore()})
	return nil
}

// mergesByScore lists, for every token, the pairs that make it, the best scored
// first: SentencePiece has scores where BPE has ranks. The order of
// equals is transformers', by the lengths of the parts and then by their ids.
func (v *vocabulary) mergesByScore() [][2]string {
	type merge struct {
		left, right string
		score       float32
		l, r        int // runes
	}
	vocab := v.vocab()
	var all []merge
	for id, token := range v.tokens {
		if k := v.kindOf(id); k == tokenControl || k == tokenUnused || k == tokenUnknown {
			continue
		}
		var local []merge
		n := utf8.RuneCountInString(token)
		l := 0
		for at := range token {
			if at > 0 {
				l++
				_, left := vocab[token[:at]]
				if _, right := vocab[token[at:]]; left && right {
					local = append(local, merge{token[:at], token[at:], v.scores[id], l, n - l})
				}
			}
		}
		slices.SortStableFunc(local, func(a, b merge) int {
			return cmp.Or(cmp.Compare(vocab[a.left], vocab[b.left]), cmp.Compare(vocab[a.right], vocab[b.right]))
		})
		all = append(all, local...)
	}
	slices.SortStableFunc(all, func(a, b merge) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.l, a.l), cmp.Compare(b.r, a.r))
	})
	out := make([][2]string, len(all))
	for i, m := range all {
		out[i] = [2]string{m.left, m.right}
	}
	return out
}

// addsBOS says that texts begin with BOS.
func (v *vocabulary) addsBOS() bool {
	add, ok := Value[bool](v.f, "tokenizer.ggml.add_bos_token")
	return v.bos >= 0 && (add || !ok && v.kind == "llama")
}

// addsEOS says that texts end with EOS.
func (v *vocabulary) addsEOS() bool {
	add, _ := Value[bool](v.f, "tokenizer.ggml.add_eos_token")
	return v.eos >= 0 && add
}

// template puts BOS first where texts begin with it, and EOS last.
func (v *vocabulary) template() any {
	ids := []int{-1, -1} // before and after
	if v.addsBOS() {
		ids[0] = v.bos
	}
	if v.addsEOS() {
		ids[1] = v.eos
	}
	if ids[0]+ids[1] == -2 {
		return nil
	}
	specials := object{}
	around := func(sequence string) []object {
		out := []object{{"Sequence": object{"id": sequence, "type_id": 0}}}
		for side, id := range ids {
			if id < 0 {
				continue
			}
			token := v.tokens[id]
			specials[token] = object{"id": token, "ids": []int{id}, "tokens": []string{token}}
			out = slices.Insert(out, side*len(out), object{"SpecialToken": object{"id": token, "type_id": 0}})
		}
		return out
	}
	single := around("A")
	return object{"type": "TemplateProcessing", "single": single,
		"pair": append(around("A"), object{"Sequence": object{"id": "B", "type_id": 0}}), "special_tokens": specials}
}

func (v *vocabulary) config() object {
	out := object{"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": v.addsBOS(), "add_eos_token": v.addsEOS(),
		"clean_up_tokenization_spaces": false}
	if v.bos >= 0 {
		out["bos_token"] = v.tokens[v.bos]
	}
	if v.eos >= 0 {
		out["eos_token"] = v.tokens[v.eos]
	}
	if id, err := v.f.Int("tokenizer.ggml.padding_token_id"); err == nil && id >= 0 && id < len(v.tokens) {
		out["pad_token"] = v.tokens[id]
	}
	if template, ok := Value[string](v.f, "tokenizer.chat_template"); ok {
		out["chat_template"] = template
	}
	return out
}

func (v *vocabulary) generation() object {
	out, stops := object{}, []int{}
	if v.bos >= 0 {
		out["bos_token_id"] = v.bos
	}
	if v.eos >= 0 {
		stops = append(stops, v.eos)
	}
	if id, err := v.f.Int("tokenizer.ggml.eot_token_id"); err == nil && id >= 0 && id < len(v.tokens) && id != v.eos {
		stops = append(stops, id)
	}
	if len(stops) > 0 {
		out["eos_token_id"] = stops
	}
	return out
}
