package data

import (
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"concord/internal/chat"
	"concord/internal/tokenizer"
)

// chatVectors are conversations, and per family of templates what transformers makes
// of them: see internal/chat/testdata/make_vectors.py.
type chatVectors struct {
	Conversations []map[string]json.RawMessage
	Families      map[string][]struct {
		C    int
		IDs  string // CRC-32 of the token ids
		Mask []int  // run lengths, beginning with what is not learnt
	}
}

func readChatVectors(t *testing.T) (v chatVectors, tok *tokenizer.Tokenizer) {
	t.Helper()
	dir := filepath.Join("..", "chat", "testdata")
	f, err := os.Open(filepath.Join(dir, "vectors.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&v); err != nil {
		t.Fatal(err)
	}
	if tok, err = tokenizer.Load(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	return v, tok
}

// familyTemplate is a family's template without {% generation %} marks.
func familyTemplate(t *testing.T, name string) *chat.Template {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "chat", "testdata", "families", name+".jinja"))
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, name+".jinja", regexp.MustCompile(`\{%-? (end)?generation %\}`).ReplaceAllString(string(raw), ""))
	config := write(t, "tokenizer_config.json", `{"bos_token": "<s>", "eos_token": "</s>"}`)
	tm, err := chat.Read(path, filepath.Dir(config))
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

// Token ids and mask of 200 conversations of each family are those of transformers'
// apply_chat_template with return_assistant_tokens_mask. But for tokens across a
// border: transformers learns them, here they are counted.
func TestConversationTokens(t *testing.T) {
	v, tok := readChatVectors(t)
	for name, vectors := range v.Families {
		opt := Options{Template: familyTemplate(t, name)}
		enc, err := newEncoder(tok, "", opt)
		if err != nil {
			t.Fatal(err)
		}
		straddling, tokens := 0, 0
		for _, w := range vectors {
			d, ok, err := new(recogniser).document(fields(v.Conversations[w.C]))
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			var n Stats
			if err := enc.render(&d, &n); err != nil {
				t.Fatal(err)
			}
			x, err := enc.example(&d, &n)
			if err != nil {
				t.Fatal(err)
			}
			sum := crc32.NewIEEE()
			if err := binary.Write(sum, binary.LittleEndian, x.IDs); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%08x", sum.Sum32()); got != w.IDs {
				t.Fatalf("%s: conversation %d: ids %v have the sum %s, want %s", name, w.C, x.IDs, got, w.IDs)
			}
			at, learn, more := 0, false, 0
			for _, run := range w.Mask {
				for range run {
					if x.Mask[at] && !learn {
						t.Fatalf("%s: conversation %d: token %d is learnt, but not by transformers", name, w.C, at)
					}
					if learn && !x.Mask[at] {
						more++
					}
					at++
				}
				learn = !learn
			}
			if at != len(x.IDs) || more > n.Straddling {
				t.Fatalf("%s: conversation %d: %d tokens, want %d; %d that transformers learns are not learnt, and %d are across a border",
					name, w.C, len(x.IDs), at, more, n.Straddling)
			}
			straddling, tokens = straddling+more, tokens+len(x.IDs)
		}
		if straddling*200 > tokens {
			t.Errorf("%s: %d of %d tokens are across a border", name, straddling, tokens)
		}
	}
}

// What becomes of a conversation: the template writes BOS and the turns' ends, and
// what cannot be rendered with certainty is refused with its place.
func TestConversations(t *testing.T) {
	chatml, err := chat.Builtin("chatml")
	if err != nil {
		t.Fatal(err)
	}
	const two = `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user",` +
		`"content":"r"},{"role":"assistant","content":"b"%s}]}`
	for _, c := range []struct {
		name, line, trainOn string
		template            *chat.Template
		want, fails         string
	}{
		{name: "two answers", line: fmt.Sprintf(two, ""), template: plainChat(t), want: "^user: q\nassistant:[ a$]\nuser: r\nassistant:[ b$]"},
		{name: "weight 0", line: fmt.Sprintf(two, `,"weight":0`), template: plainChat(t), want: "^user: q\nassistant:[ a$]\nuser: r\nassistant: b$"},
		{name: "all", line: fmt.Sprintf(two, ""), trainOn: "all", template: plainChat(t), want: "^[user: q\nassistant: a$\nuser: r\nassistant: b$]"},
		{name: "no BOS in the template", line: fmt.Sprintf(two, ""), template: chatml,
			want: "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>]\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>]\n"},
		{name: "no template", line: fmt.Sprintf(two, ""), fails: `d.jsonl:1: a conversation, but the model's folder has no chat template to render it with: give data.template = "chatml"`},
		{name: "tools", line: `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"tools":[{"name":"f"}]}`, template: chatml, fails: "d.jsonl:1: chat template line 1: the built-in chatml has no form for tools"},
	} {
		tok := withBOS(t)
		set, err := Load(Source{Lang: "x", Paths: []string{write(t, "d.jsonl", c.line)}, Train: true, TrainOn: c.trainOn}, tok,
			Options{Template: c.template})
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v, want an error with %q", c.name, err, c.fails)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case show(t, tok, at(t, set.Train, 0)) != c.want || set.TrainStats.Chats != 1 || set.TrainStats.ByMarks != 1:
			t.Errorf("%s: %q, %+v, want %q", c.name, show(t, tok, at(t, set.Train, 0)), set.TrainStats, c.want)
		}
	}
}
