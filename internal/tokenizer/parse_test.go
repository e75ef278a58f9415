package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tiny is a tokenizer.json with two merges; the tests below replace members.
func tiny(replace map[string]string) []byte {
	members := map[string]string{
		"version":      `"1.0"`,
		"added_tokens": `[]`,
		"model":        `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"abb":3},"merges":["a b","ab b"]}`,
	}
	for k, v := range replace {
		members[k] = v
	}
	var parts []string
	for _, k := range slices.Sorted(mapKeys(members)) {
		parts = append(parts, `"`+k+`":`+members[k])
	}
	return []byte("{" + strings.Join(parts, ",") + "}")
}

func TestParseTiny(t *testing.T) {
	tok, err := Parse(tiny(nil))
	if err != nil {
		t.Fatal(err)
	}
	ids, err := tok.Encode("abbab", true)
	if err != nil || !slices.Equal(ids, []uint32{3, 2}) {
		t.Errorf("ids %v, %v, want 3 2", ids, err)
	}
	if _, err := tok.Encode("abc", false); err == nil || !strings.Contains(err.Error(), `"c"`) {
		t.Errorf("a character outside the vocabulary: error %v", err)
	}
	if _, err := tok.Encode("ab\xff", false); err == nil || !strings.Contains(err.Error(), "byte 2") {
		t.Errorf("text that is not UTF-8: error %v", err)
	}
	if s := tok.Decode([]uint32{3, 99, 1 << 31, 0}, false); s != "abb a" {
		t.Errorf("decode gives %q", s)
	}
}

// Whatever is not implemented or malformed is refused, by name and place.
func TestParseRefuses(t *testing.T) {
	member := func(k, v string) map[string]string { return map[string]string{k: v} }
	model := func(more string) map[string]string {
		return member("model", `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"],`+more+`}`)
	}
	added := func(more string) map[string]string {
		return member("added_tokens", `[{"id":4,"content":"<x>","normalized":false,"special":true`+more+`}]`)
	}
	cases := []struct {
		name    string
		replace map[string]string
		want    []string
	}{
		{"version", member("version", `"2.0"`), []string{"version", "2.0"}},
		{"top-level key", member("extra", `1`), []string{"extra"}},
		{"normalizer type", member("normalizer", `{"type":"Lowercase"}`), []string{"normalizer", `"Lowercase"`}},
		{"nested normalizer type", member("normalizer", `{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Precompiled","precompiled_charsmap":""}]}`), []string{"normalizer.normalizers[1]", `"Precompiled"`}},
		{"normalizer regex", member("normalizer", `{"type":"Replace","pattern":{"Regex":" +"},"content":" "}`), []string{"normalizer", "Regex"}},
		{"normalizer option", member("normalizer", `{"type":"NFC","form":"x"}`), []string{"normalizer.form"}},
		{"no type", member("normalizer", `{}`), []string{"normalizer.type", "missing"}},
		{"deep", member("normalizer", strings.Repeat(`{"type":"Sequence","normalizers":[`, 20)+strings.Repeat(`]}`, 20)), []string{"nested"}},
		{"pre-tokenizer type", member("pre_tokenizer", `{"type":"Whitespace"}`), []string{"pre_tokenizer", `"Whitespace"`}},
		{"split behavior", member("pre_tokenizer", `{"type":"Split","pattern":{"String":" "},"behavior":"Random","invert":false}`), []string{"pre_tokenizer.behavior", "Random"}},
		{"regex dialect", member("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated","invert":false}`), []string{"pre_tokenizer.pattern.Regex", `\w`}},
		{"regex syntax", member("pre_tokenizer", `{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated","invert":false}`), []string{"pre_tokenizer.pattern.Regex"}},
		{"empty pattern", member("pre_tokenizer", `{"type":"Split","pattern":{"String":""},"behavior":"Isolated","invert":false}`), []string{"empty pattern"}},
		{"byte-level not last", member("pre_tokenizer", `{"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false},{"type":"Digits","individual_digits":true}]}`), []string{"ByteLevel", "last"}},
		{"metaspace first", map[string]string{"normalizer": `{"type":"NFC"}`, "pre_tokenizer": `{"type":"Metaspace","replacement":"_","prepend_scheme":"first"}`}, []string{"Metaspace", "first"}},
		{"metaspace scheme", member("pre_tokenizer", `{"type":"Metaspace","replacement":"_","prepend_scheme":"last"}`), []string{"prepend_scheme", "last"}},
		{"post-processor type", member("post_processor", `{"type":"BertProcessing"}`), []string{"post_processor", `"BertProcessing"`}},
		{"template sequence", member("post_processor", `{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B","type_id":0}}],"special_tokens":{}}`), []string{"single[0]", "B"}},
		{"template token", member("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{}}`), []string{"single[0]", "<s>"}},
		{"template id", member("post_processor", `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<s>":{"id":"<s>","ids":[77],"tokens":["<s>"]}}}`), []string{"77"}},
		{"decoder type", member("decoder", `{"type":"WordPiece"}`), []string{"decoder", `"WordPiece"`}},
		{"model type", member("model", `{"type":"Unigram","vocab":[]}`), []string{"model", `"Unigram"`}},
		{"no model", member("model", `null`), []string{"model", "missing"}},
		{"dropout", model(`"dropout":0.1`), []string{"model.dropout"}},
		{"subword prefix", model(`"continuing_subword_prefix":"##"`), []string{"model.continuing_subword_prefix", "##"}},
		{"word suffix", model(`"end_of_word_suffix":"</w>"`), []string{"model.end_of_word_suffix"}},
		{"model option", model(`"new_option":true`), []string{"model.new_option"}},
		{"merge of unknown", member("model", `{"vocab":{"a":0},"merges":["a b"]}`), []string{"model.merges[0]", `"b"`}},
		{"merge to unknown", member("model", `{"vocab":{"a":0,"b":1},"merges":[["a","b"]]}`), []string{"model.merges[0]", `"ab"`}},
		{"merge of three", member("model", `{"vocab":{"a":0,"b":1},"merges":["a b c"]}`), []string{"model.merges[0]"}},
		{"merge pair of three", member("model", `{"vocab":{"a":0,"b":1},"merges":[["a","b","c"]]}`), []string{"model.merges[0]"}},
		{"mixed merges", member("model", `{"vocab":{"a":0,"b":1,"ab":2},"merges":["a b",["a","b"]]}`), []string{"model.merges"}},
		{"no merges", member("model", `{"vocab":{"a":0}}`), []string{"model.merges", "missing"}},
		{"shared id", member("model", `{"vocab":{"a":0,"b":0},"merges":[]}`), []string{"id 0", `"a"`, `"b"`}},
		{"huge id", member("model", `{"vocab":{"a":4294967295},"merges":[]}`), []string{"4294967295"}},
		{"negative id", member("model", `{"vocab":{"a":-1},"merges":[]}`), []string{"model.vocab"}},
		{"added id", member("added_tokens", `[{"id":9,"content":"<x>","normalized":false,"special":true}]`), []string{"added_tokens[0].id", "9", "4"}},
		{"added id in vocab", member("added_tokens", `[{"id":9,"content":"ab","normalized":false,"special":true}]`), []string{"added_tokens[0].id", "2"}},
		{"added empty", member("added_tokens", `[{"id":4,"content":"","normalized":false,"special":true}]`), []string{"added_tokens[0].content"}},
		{"added option", added(`,"fuzzy":true`), []string{"added_tokens[0].fuzzy"}},
		{"added type", added(`,"lstrip":"yes"`), []string{"added_tokens[0].lstrip"}},
	}
	for _, c := range cases {
		_, err := Parse(tiny(c.replace))
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %q", c.name, err, want)
			}
		}
	}
}

// A file cut short at any byte is an error, never a panic.
func TestParseTruncated(t *testing.T) {
	data := tiny(map[string]string{
		"normalizer":    `{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"a"}]}`,
		"pre_tokenizer": `{"type":"Digits","individual_digits":true}`,
		"decoder":       `{"type":"Strip","content":"a","start":1,"stop":1}`,
	})
	if _, err := Parse(data); err != nil {
		t.Fatal(err)
	}
	for i := range data {
		if _, err := Parse(data[:i]); err == nil {
			t.Fatalf("the first %d of %d bytes are accepted", i, len(data))
		}
	}
}

func TestDialect(t *testing.T) {
	cases := []struct {
		pattern, refused string
	}{
		{PatternGPT2, ""}, {PatternLlama3, ""}, {PatternQwen2, ""}, {PatternQwen35, ""},
		{`[^\s\p{Lu}]+(?i:'s|'t)?|\p{N}{1,3}|(?<=a)b(?!c)|(?<!x)y\+\*`, ""},
		{`\bx`, `\b`}, {`\d+\h`, `\h`}, {`^a`, "^"}, {`a$`, "$"}, {`[a[b]]`, "a class inside a class"},
		{`[a&&b]`, "a class inside a class"}, {`[[:alpha:]]`, "a class inside a class"}, {`a++`, "a possessive quantifier"},
		{`\p{L}?+`, "a possessive quantifier"}, {`(?m:a)`, "a (? group"}, {`(?>a)`, "a (? group"}, {`(?<n>a)`, "a (? group"},
		{`a{,3}`, "{,"}, {`a\`, "a trailing backslash"}, {`[]a]`, "a class that begins with ]"}, {`\X`, `\X`},
	}
	for _, c := range cases {
		if got := dialect(c.pattern); got != c.refused {
			t.Errorf("%s: %q, want %q", c.pattern, got, c.refused)
		}
	}
}

// Files in testdata stay as the generator wrote them through Load and Save.
func TestSaveIsVerbatim(t *testing.T) {
	from := filepath.Join("testdata", "golden", "llama3.json")
	tok, err := Load(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := tok.Save(to); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(from)
	b, _ := os.ReadFile(to)
	if len(a) == 0 || string(a) != string(b) {
		t.Error("saved file differs")
	}
}

func TestStopTokens(t *testing.T) {
	write := func(dir, name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join("testdata", "golden", "llama2.json"))
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name  string
		files map[string]string
		want  []uint32
		err   string
	}{
		{name: "nothing"},
		{"union", map[string]string{"config.json": `{"eos_token_id":7}`, "generation_config.json": `{"eos_token_id":[9,7]}`, "tokenizer_config.json": `{"eos_token":{"content":"</s>","lstrip":false}}`}, []uint32{2, 7, 9}, ""},
		{"string name", map[string]string{"tokenizer_config.json": `{"eos_token":"</s>","bos_token":null}`}, []uint32{2}, ""},
		{"text config", map[string]string{"config.json": `{"eos_token_id":null,"text_config":{"eos_token_id":[1]}}`}, []uint32{1}, ""},
		{"unknown name", map[string]string{"tokenizer_config.json": `{"eos_token":"<nope>"}`}, nil, "<nope>"},
		{"bad id", map[string]string{"config.json": `{"eos_token_id":"2"}`}, nil, "config.json"},
	}
	for _, c := range cases {
		dir := t.TempDir()
		write(dir, "tokenizer.json", string(data))
		for name, text := range c.files {
			write(dir, name, text)
		}
		tok, err := Load(filepath.Join(dir, "tokenizer.json"))
		var got []uint32
		if err == nil {
			got, err = tok.StopTokens(dir)
		}
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: error %v, want one that holds %q", c.name, err, c.err)
			}
			continue
		}
		if eos, ok := tok.EOS(); err == nil && ok != (len(c.want) > 0) || ok && !slices.Contains(c.want, eos) {
			t.Errorf("%s: EOS is %d, %v; stop tokens are %v", c.name, eos, ok, c.want)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
		if id, ok := tok.BOS(); !ok || id != 1 || !tok.AddsBOS() {
			t.Errorf("%s: BOS %d %v", c.name, id, ok)
		}
	}
}

// FuzzParse: any file parses or errs; what parses encodes or errs.
func FuzzParse(f *testing.F) {
	f.Add(tiny(nil), "abba")
	f.Add(tiny(map[string]string{"pre_tokenizer": `{"type":"ByteLevel","add_prefix_space":true}`, "decoder": `{"type":"ByteLevel"}`}), "a b")
	for _, name := range []string{"flags", "splits", "metaspace_always"} {
		data, err := os.ReadFile(filepath.Join("testdata", "golden", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "a word [MASK]")
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tok, err := Parse(data)
		if err != nil {
			return
		}
		if !json.Valid(tok.Bytes()) {
			t.Error("accepted a file that is not JSON")
		}
		ids, err := tok.Encode(text, true)
		if err != nil {
			return
		}
		for _, id := range ids {
			if int(id) >= tok.VocabSize() {
				t.Errorf("id %d of %d", id, tok.VocabSize())
			}
		}
		tok.Decode(ids, true)
	})
}

// FuzzEncode: byte-level encoding of any text decodes to it.
func FuzzEncode(f *testing.F) {
	var toks []*Tokenizer
	for _, name := range []string{"gpt2", "llama3", "smollm2", "other_regex"} {
		toks = append(toks, loadGolden(f, name))
	}
	f.Add("it's 'ſ 12345\r\n\n x\u0301  ")
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range toks {
			ids, err := tok.Encode(text, false)
			if invalidUTF8(text) >= 0 {
				if err == nil {
					t.Error("accepted text that is not UTF-8")
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tok.Decode(ids, false); got != text {
				t.Errorf("decoded %q, want %q", got, text)
			}
		}
	})
}
