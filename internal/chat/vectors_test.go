package chat

import (
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"concord/internal/jinja"
)

// vector is one conversation as transformers renders it: see
// testdata/make_vectors.py.
type vector struct {
	C         int
	Text, Ask string
	Spans     [][2]int
}

// readVectors reads the conversations and, per family, their renderings.
func readVectors(t testing.TB) ([]*Conversation, map[string][]vector) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "vectors.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Conversations []struct {
			Messages []map[string]json.RawMessage
			Tools    json.RawMessage
		}
		Families map[string][]vector
	}
	if err := json.NewDecoder(z).Decode(&v); err != nil {
		t.Fatal(err)
	}
	var convs []*Conversation
	for _, c := range v.Conversations {
		conv := &Conversation{Tools: c.Tools}
		for _, m := range c.Messages {
			x := Message{Train: true, Extra: m}
			if json.Unmarshal(m["role"], &x.Role) != nil || json.Unmarshal(m["content"], &x.Content) != nil {
				t.Fatal("a message without role or content")
			}
			delete(m, "role")
			delete(m, "content")
			conv.Messages = append(conv.Messages, x)
		}
		convs = append(convs, conv)
	}
	return convs, v.Families
}

var marks = regexp.MustCompile(`\{%-? (end)?generation %\}`)

// family reads a family's template, with or without marks.
func family(t testing.TB, name string, marked bool) *Template {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "families", name+".jinja"))
	if err != nil {
		t.Fatal(err)
	}
	source := string(raw)
	if !marked {
		source = marks.ReplaceAllString(source, "")
	}
	tm, err := newTemplate(name, source, "", map[string]string{"bos_token": "<s>", "eos_token": "</s>"})
	if err != nil {
		t.Fatal(err)
	}
	return tm
}

// ways is how the turns of each family are found without marks.
var ways = map[string]string{
	"smollm2": "ChatML turns", "qwen2.5": "ChatML turns", "qwen3": "ChatML turns", "llama3": "Llama 3 turns", "llama3.2": "Llama 3 turns",
	"gemma3": "Gemma turns", "zephyr": "Zephyr turns", "mistral": ByPrefix,
}

// 200 conversations of every family, with tools, system turns and thinking: text,
// question and the assistant's turns are transformers', whether the template
// marks them or not.
func TestVectors(t *testing.T) {
	convs, families := readVectors(t)
	if len(families) != len(ways) {
		t.Fatalf("%d families", len(families))
	}
	for name, vectors := range families {
		t.Run(name, func(t *testing.T) {
			if len(vectors) < 200 {
				t.Fatalf("%d conversations", len(vectors))
			}
			for _, marked := range []bool{true, false} {
				tm := family(t, name, marked)
				way := ways[name]
				if marked {
					way = ByGeneration
				}
				for _, v := range vectors {
					var want []jinja.Span
					for _, s := range v.Spans {
						want = append(want, jinja.Span{Start: s[0], End: s[1]})
					}
					r, err := tm.Train(convs[v.C])
					if err != nil || r.Text != v.Text || !slices.Equal(r.Spans, want) || r.Way != way {
						t.Fatalf("conversation %d, marked %v: %v\n got %q %v by %s\nwant %q %v by %s", v.C, marked, err, r.Text, r.Spans, r.Way,
							v.Text, want, way)
					}
					if ask, err := tm.Prompt(convs[v.C]); err != nil || ask != v.Ask {
						t.Fatalf("conversation %d: asked with %q, %v, want %q", v.C, ask, err, v.Ask)
					}
				}
			}
		})
	}
}
