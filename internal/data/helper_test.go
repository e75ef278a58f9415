package data

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/chat"
	"concord/internal/tokenizer"
)

// byteTokenizer has a token per byte, BOS and EOS: lengths in a test are the
// lengths of its strings.
func byteTokenizer(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	tok, err := tokenizer.Train(slices.Values([]string{"x"}), tokenizer.TrainOptions{
		VocabSize: 258, Specials: []string{tokenizer.BOSToken, tokenizer.EOSToken},
	})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// withBOS is a tokenizer that itself puts BOS before a text.
func withBOS(t testing.TB) *tokenizer.Tokenizer {
	t.Helper()
	const template = `"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|bos|>",` +
		`"type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},` +
		`{"Sequence":{"id":"B","type_id":0}}],"special_tokens":{"<|bos|>":{"id":"<|bos|>","ids":[256],"tokens":["<|bos|>"]}}}`
	raw := strings.Replace(string(byteTokenizer(t).Bytes()), `"post_processor": null`, template, 1)
	tok, err := tokenizer.Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

const bos, eos = 256, 257

// plainChat is a chat template that is easily read: "^user: …\nassistant:[ …$]".
func plainChat(t testing.TB) *chat.Template {
	t.Helper()
	path := write(t, "plain.jinja", `<|bos|>{% for m in messages %}{% if m.role == 'assistant' %}{{ 'assistant:' }}`+
		`{% generation %}{{ ' ' + m.content + '<|eos|>' }}{% endgeneration %}{% if not loop.last %}{{ '\n' }}{% endif %}`+
		`{% else %}{{ m.role + ': ' + m.content + '\n' }}{% endif %}{% endfor %}`)
	tm, err := chat.Read(path, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

// write makes a file in a fresh folder.
func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// show spells an example: learnt tokens in brackets, ^ for BOS, $ for EOS.
func show(t testing.TB, tok *tokenizer.Tokenizer, e Example) string {
	t.Helper()
	var b strings.Builder
	open := false
	for i, id := range e.IDs {
		if e.Mask[i] != open {
			b.WriteString(map[bool]string{true: "[", false: "]"}[e.Mask[i]])
			open = e.Mask[i]
		}
		switch id {
		case bos:
			b.WriteByte('^')
		case eos:
			b.WriteByte('$')
		default:
			b.WriteString(tok.Decode([]uint32{id}, false))
		}
	}
	if open {
		b.WriteByte(']')
	}
	return b.String()
}

// makeSet makes examples of the given numbers of positions; each example's
// tokens are its own number, so that it is recognised in a batch.
func makeSet(lang string, positions ...int) *Set {
	var l List
	for i, n := range positions {
		e := Example{IDs: make([]uint32, n+1), Mask: make([]bool, n+1), Bytes: n}
		for j := range e.IDs {
			e.IDs[j] = uint32(i)
			e.Mask[j] = j > 0
		}
		l = append(l, e)
	}
	return &Set{Lang: lang, Train: l}
}

// list reads all examples.
func list(t testing.TB, all Examples) List {
	t.Helper()
	var out List
	for i := range size(all) {
		out = append(out, at(t, all, i))
	}
	return out
}

// at reads example i.
func at(t testing.TB, all Examples, i int) Example {
	t.Helper()
	x, err := all.At(i)
	if err != nil {
		t.Fatal(err)
	}
	if x.Positions() != all.Positions(i) {
		t.Fatalf("example %d has %d positions, its list says %d", i, x.Positions(), all.Positions(i))
	}
	return x
}
