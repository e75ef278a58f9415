package data

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestExamplesAndMasks(t *testing.T) {
	cases := []struct {
		name, file, line, trainOn string
		opt                       Options
		noBOS                     bool // the tokenizer does not add BOS
		want                      []string
		bytes                     int
	}{
		{name: "text", line: `{"text":"abc"}`, want: []string{"^[abc$]"}, bytes: 3},
		{name: "text without BOS", line: `{"text":"abc"}`, noBOS: true, want: []string{"a[bc$]"}, bytes: 2},
		{name: "BOS refused", line: `{"text":"abc"}`, opt: Options{NoBOS: true, NoEOS: true}, want: []string{"a[bc]"}, bytes: 2},
		{name: "prompt", line: `{"prompt":"ab","completion":" cd"}`, want: []string{"^ab[ cd$]"}, bytes: 3},
		{name: "prompt learnt too", line: `{"prompt":"ab","completion":" cd"}`, trainOn: "all", want: []string{"^[ab cd$]"}, bytes: 5},
		{name: "empty prompt", line: `{"prompt":"","completion":"cd"}`, noBOS: true, want: []string{"c[d$]"}, bytes: 1},
		{name: "bytes not letters", line: `{"prompt":"x","completion":"é"}`, want: []string{"^x[\uFFFD\uFFFD$]"}, bytes: 2},
		{name: "messages", line: `{"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},{"role":"assistant","content":"b"}]}`,
			want: []string{"^system: s\nuser: q\nassistant:[ a$]\nuser: r\nassistant:[ b$]"}, bytes: 4},
		{name: "messages ending with the user", line: `{"messages":[{"role":"assistant","content":"a"},{"role":"user","content":"q"}]}`,
			want: []string{"^assistant:[ a$]\nuser: q\n"}, bytes: 2},
		{name: "paragraphs", file: "a.txt", line: "one\r\ntwo\r\n \r\n\n\nthree", want: []string{"^[one\ntwo$]", "^[three$]"}, bytes: 12},
		{name: "byte order mark", line: "\uFEFF" + `{"text":"abc"}`, want: []string{"^[abc$]"}, bytes: 3},
		{name: "blank lines", line: "\n" + `{"text":"a"}` + "\r\n\n" + `{"text":"b"}` + "\n", want: []string{"^[a$]", "^[b$]"}, bytes: 2},
		{name: "split", line: `{"text":"abcdefg"}`, opt: Options{MaxLen: 3}, want: []string{"^[abc]", "c[def]", "f[g$]"}, bytes: 7},
		{name: "split at the very end", line: `{"text":"abcde"}`, opt: Options{MaxLen: 3}, want: []string{"^[abc]", "c[de$]"}, bytes: 5},
		{name: "fits exactly", line: `{"text":"ab"}`, opt: Options{MaxLen: 3, Overlong: "error"}, want: []string{"^[ab$]"}, bytes: 2},
		{name: "truncate", line: `{"prompt":"ab","completion":"cdef"}`, opt: Options{MaxLen: 4, Overlong: "truncate"}, want: []string{"^ab[cd]"}, bytes: 1},
		{name: "white space is kept", line: `{"text":"  a "}`, want: []string{"^[  a $]"}, bytes: 4},
		{name: "unknown escapes", line: `{"text":"\ufffd\ud83d\ude00"}`, want: []string{"^[" + strings.Repeat("\uFFFD", 7) + "$]"}, bytes: 7},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			tok := withBOS(t)
			if c.noBOS {
				tok = byteTokenizer(t)
			}
			file := c.file
			if file == "" {
				file = "a.jsonl"
			}
			c.opt.Template = plainChat(t)
			set, err := Load(Source{Lang: "l", Paths: []string{write(t, file, c.line)}, Train: true, TrainOn: c.trainOn}, tok, c.opt)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			targets, bytes, positions := 0, 0, 0
			for _, e := range list(t, set.Train) {
				got = append(got, show(t, tok, e))
				targets += e.Targets()
				bytes += e.Bytes
				positions += e.Positions()
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("examples %q, want %q", got, c.want)
			}
			s := set.TrainStats
			if bytes != c.bytes || s.Bytes != bytes || s.Supervised != targets || s.Tokens != positions || s.Examples != len(got) {
				t.Errorf("stats %+v; examples have %d bytes (want %d), %d targets, %d positions", s, bytes, c.bytes, targets, positions)
			}
		})
	}
}

func TestCounters(t *testing.T) {
	lines := []string{
		`{"prompt":"a","completion":"b"}`,
		`{"prompt":"a","completion":"b"}`,                                                 // duplicate
		`{"prompt":"a","completion":" "}`,                                                 // empty
		`{"prompt":"a","completion":"bbbbbbbbbbbbbbbbb"}`,                                 // too long
		`{"prompt":"aaaaaaaaaaaaaaa","completion":"b"}`,                                   // too long; fully masked when cut
		`{"messages":[{"role":"user","content":"q"}]}`,                                    // fully masked
		`{"messages":[{"role":"user","content":"q"}, {"role":"assistant","content":""}]}`, // empty
		`{"text":"abcdefghijklmnopqrstuvwxyz"}`,                                           // too long: in three pieces
	}
	cases := []struct {
		overlong string
		want     Stats
		shared   int
		kept     int // documents with an example
	}{
		{"auto", Stats{Docs: 8, Examples: 5, TooLong: 3, Pieces: 3, Empty: 2, FullyMasked: 1, Duplicates: 1, Chats: 1, ByMarks: 1}, 3, 3},
		{"drop", Stats{Docs: 8, Examples: 2, TooLong: 3, Empty: 2, FullyMasked: 1, Duplicates: 1, Chats: 1, ByMarks: 1}, 2, 2},
		{"truncate", Stats{Docs: 8, Examples: 4, TooLong: 3, Empty: 2, FullyMasked: 2, Duplicates: 1, Chats: 1, ByMarks: 1}, 4, 4},
	}
	for _, c := range cases {
		t.Run(c.overlong, func(t *testing.T) {
			path := write(t, "a.jsonl", strings.Join(lines, "\n"))
			set, err := Load(Source{Lang: "l", Paths: []string{path}, Heldout: []string{path}, Train: true}, withBOS(t),
				Options{MaxLen: 10, Overlong: c.overlong, Template: plainChat(t)})
			if err != nil {
				t.Fatal(err)
			}
			got := set.TrainStats
			got.Tokens, got.Supervised, got.Bytes = 0, 0, 0
			if got != c.want {
				t.Errorf("stats %+v, want %+v", got, c.want)
			}
			if set.Documents != c.kept {
				t.Errorf("%d documents gave examples, want %d", set.Documents, c.kept)
			}
			if set.HeldoutStats.Shared != c.shared || set.HeldoutStats.Duplicates != 1 {
				t.Errorf("held-out stats %+v: want %d shared with training, 1 duplicate", set.HeldoutStats, c.shared)
			}
		})
	}
}

func TestHoldout(t *testing.T) {
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf(`{"prompt":"p%d","completion":"a"}`, i), fmt.Sprintf(`{"prompt":"p%d","completion":"b"}`, i))
	}
	load := func(lines []string) *Set {
		set, err := Load(Source{Lang: "l", Paths: []string{write(t, "a.jsonl", strings.Join(lines, "\n"))}, Holdout: 0.1, Train: true},
			withBOS(t), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	set := load(lines)
	if n := set.Heldout.Len(); n != 200 || n+set.Train.Len() != 2000 {
		t.Errorf("%d of 2000 held out, %d trained on: want 200, prompts with all their answers", n, set.Train.Len())
	}
	slices.Reverse(lines)
	if n := load(lines).Heldout.Len(); n != set.Heldout.Len() {
		t.Errorf("another order of lines holds out %d, not %d", n, set.Heldout.Len())
	}
	unseen, err := Load(Source{Lang: "l", Paths: []string{write(t, "a.jsonl", strings.Join(lines, "\n"))}}, withBOS(t), Options{})
	if err != nil || unseen.Train.Len() != 0 || unseen.Heldout.Len() != 2000 {
		t.Errorf("unseen language: %d to train on, %d held out, %v", unseen.Train.Len(), unseen.Heldout.Len(), err)
	}
}

func TestLoadAllJoinsALanguagesSources(t *testing.T) {
	a, b := write(t, "a.txt", "one\n\ntwo"), write(t, "b.jsonl", `{"text":"three"}`)
	sets, err := LoadAll([]Source{{Lang: "x", Paths: []string{a}, Train: true}, {Lang: "y", Paths: []string{a}, Train: true},
		{Lang: "x", Paths: []string{b}, Train: true}}, withBOS(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(sets) != 2 || sets[0].Lang != "x" || sets[0].Train.Len() != 3 || sets[0].TrainStats.Docs != 3 || sets[1].Train.Len() != 2 {
		t.Errorf("sets %+v", sets)
	}
}

func TestFileErrors(t *testing.T) {
	ok := `{"text":"fine"}` + "\n"
	cases := []struct {
		name, file, text string
		line             int
		says             []string
		opt              Options
	}{
		{name: "another tool's key", text: `{"prompt":"a","response":"b"}`, line: 1, says: []string{`columns = {prompt = "prompt", completion = "response"}`}},
		{name: "case", text: `{"Text":"a"}`, line: 1, says: []string{`columns = {text = "Text"}`}},
		{name: "no completion", text: `{"prompt":"a"}`, line: 1, says: []string{`without "completion"`}},
		{name: "no prompt", text: `{"completion":"a"}`, line: 1, says: []string{`without "prompt"`}},
		{name: "no keys", text: `{}`, line: 1, says: []string{"empty object"}},
		{name: "null", text: `null`, line: 1, says: []string{"null, want"}},
		{name: "null text", text: `{"text":null}`, line: 1, says: []string{"nothing but null", `"text"`}},
		{name: "number", text: `{"prompt":"a","completion":3}`, line: 1, says: []string{`"completion" is not a string but 3`}},
		{name: "half a surrogate", text: `{"text":"a\ud83d"}`, line: 1, says: []string{"surrogate"}},
		{name: "messages no list", text: `{"messages":"a"}`, line: 1, says: []string{"not a list"}},
		{name: "message role", text: `{"messages":[{"role":"bot","content":"a"}]}`, line: 1, says: []string{`unknown role "bot"`}},
		{name: "message no role", text: `{"messages":[{"content":"a"}]}`, line: 1, says: []string{"no role"}},
		{name: "message content", text: `{"messages":[{"role":"user","content":null}]}`, line: 1, says: []string{`messages[0]: "content"`}},
		{name: "too long", text: ok + `{"text":"abcdef"}`, line: 2, says: []string{"max_len is 5"}, opt: Options{MaxLen: 5, Overlong: "error"}},
		{name: "split a prompt", text: `{"prompt":"abcdef","completion":"x"}`, line: 1, says: []string{"cannot be split"}, opt: Options{MaxLen: 5, Overlong: "split"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			file := c.file
			if file == "" {
				file = "a.jsonl"
			}
			path := write(t, file, c.text)
			_, err := Load(Source{Lang: "l", Paths: []string{path}, Train: true}, withBOS(t), c.opt)
			var e *Error
			if !errors.As(err, &e) || e.File != path || e.Line != c.line {
				t.Fatalf("error %v, want one at %s:%d", err, path, c.line)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not say %q", err, s)
				}
			}
		})
	}
}

func TestSourceErrors(t *testing.T) {
	path := write(t, "a.jsonl", `{"text":"abcdef"}`)
	cases := []struct {
		name, says string
		src        Source
		opt        Options
	}{
		{"no language", "no language", Source{Paths: []string{path}, Train: true}, Options{}},
		{"no path", "nothing to train on", Source{Lang: "l", Train: true}, Options{}},
		{"no file at all", "neither", Source{Lang: "l"}, Options{}},
		{"both held out", "remove one", Source{Lang: "l", Paths: []string{path}, Heldout: []string{path}, Holdout: 0.5, Train: true}, Options{}},
		{"part of a document", "share", Source{Lang: "l", Paths: []string{path}, Holdout: 10.5, Train: true}, Options{}},
		{"NaN", "share", Source{Lang: "l", Paths: []string{path}, Holdout: math.NaN(), Train: true}, Options{}},
		{"format", "format", Source{Lang: "l", Paths: []string{path}, Format: "yaml", Train: true}, Options{}},
		{"train_on", "train_on", Source{Lang: "l", Paths: []string{path}, TrainOn: "prompt", Train: true}, Options{}},
		{"overlong", "overlong", Source{Lang: "l", Paths: []string{path}, Train: true}, Options{Overlong: "cut"}},
		{"max_len", "negative", Source{Lang: "l", Paths: []string{path}, Train: true}, Options{MaxLen: -1}},
		{"missing file", "no such file", Source{Lang: "l", Paths: []string{path + ".not.jsonl"}, Train: true}, Options{}},
		{"nothing left", "fix: a larger seq_len", Source{Lang: "l", Paths: []string{path}, Train: true}, Options{MaxLen: 2, Overlong: "drop"}},
		{"nothing to measure", "1 too long", Source{Lang: "l", Heldout: []string{path}}, Options{MaxLen: 2, Overlong: "drop"}},
		{"empty answers", "1 empty, 0 without a target\n  fix: documents with text, and with an answer", Source{Lang: "l", Paths: []string{write(t, "b.jsonl", `{"prompt":"a","completion":" "}`)}, Train: true}, Options{}},
		{"empty file", "fix: files with documents", Source{Lang: "l", Paths: []string{write(t, "e.txt", "\n \n")}, Train: true}, Options{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Load(c.src, withBOS(t), c.opt); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}
