package data

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"concord/internal/chat"
)

// Every form that people bring is read, whatever stands beside it.
func TestShapes(t *testing.T) {
	const turns = `[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]`
	chat := "^user: q\nassistant:[ a$]"
	for _, c := range []struct {
		name, line    string
		columns       map[string]string
		roles         map[string]string
		want, ignored string
	}{
		{name: "text", line: `{"text":"ab"}`, want: "^[ab$]"},
		{name: "extra columns", line: `{"id":3,"text":"ab","meta":{"x":[1]},"url":null}`, want: "^[ab$]", ignored: "id, meta, url"},
		{name: "messages", line: `{"messages":` + turns + `}`, want: chat},
		{name: "messages with their text rendered", line: `{"text":"x","messages":` + turns + `}`, want: chat, ignored: "text"},
		{name: "OpenAI's parts", line: `{"messages":[{"role":"user","content":[{"type":"text","text":"q"}]},{"role":"assistant","content":[{"type":"text","text":"a"}]}]}`, want: chat},
		{name: "names and refusals", line: `{"messages":[{"role":"user","content":"q","name":"x"},{"role":"assistant","content":"a","refusal":null}]}`, want: chat},
		{name: "weight 0", line: `{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"b","weight":0},{"role":"user","content":"q"},{"role":"assistant","content":"a","weight":1}]}`,
			want: "^user: q\nassistant: b$\nuser: q\nassistant:[ a$]"},
		{name: "ShareGPT", line: `{"id":"x","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}`, want: chat, ignored: "id"},
		{name: "ShareGPT with a system text", line: `{"system":"s","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}`, want: "^system: s\nuser: q\nassistant:[ a$]"},
		{name: "ShareGPT's column, OpenAI's messages", line: `{"conversations":` + turns + `}`, want: chat},
		{name: "prompt and completion", line: `{"prompt":"ab","completion":" cd"}`, want: "^ab[ cd$]"},
		{name: "as lists", line: `{"prompt":[{"role":"user","content":"q"},{"role":"assistant","content":"b"},{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]}`,
			want: "^user: q\nassistant: b$\nuser: q\nassistant:[ a$]"},
		{name: "with a system text", line: `{"prompt":"q","completion":"a","system":"s"}`, want: "^system: s\nuser: q\nassistant:[ a$]"},
		{name: "Alpaca", line: `{"instruction":"q","input":"","output":"a","text":"q a"}`, want: chat, ignored: "text"},
		{name: "Alpaca with input", line: `{"instruction":"q","input":"i","output":"a"}`, want: "^user: q\n\ni\nassistant:[ a$]"},
		{name: "Alpaca with history", line: `{"instruction":"q","output":"a","history":[["r","b"]],"system":""}`, want: "^user: r\nassistant:[ b$]\nuser: q\nassistant:[ a$]"},
		{name: "Dolly", line: `{"instruction":"q","context":"c","response":"a","category":"x"}`, want: "^user: q\n\nc\nassistant:[ a$]", ignored: "category"},
		{name: "Dolly without context", line: `{"instruction":"q","context":null,"response":"a"}`, want: chat},
		{name: "Aya", line: `{"inputs":"q","targets":"a","language_code":"swa"}`, want: chat, ignored: "language_code"},
		{name: "mapped columns", line: `{"question":"ab","answer":" cd","n":1}`, columns: map[string]string{"prompt": "question", "completion": "answer"}, want: "^ab[ cd$]", ignored: "n"},
		{name: "a mapped column decides", line: `{"text":"ab","messages":[]}`, columns: map[string]string{"text": "text"}, want: "^[ab$]", ignored: "messages"},
		{name: "mapped messages and roles", line: `{"chat":[{"from":"Person","value":"q"},{"from":"bot","value":"a"}]}`,
			columns: map[string]string{"messages": "chat"}, roles: map[string]string{"user": "Person", "assistant": "bot"}, want: chat},
		{name: "an optional column that is not there", line: `{"q":"q","a":"a"}`, columns: map[string]string{"instruction": "q", "output": "a", "input": "i"}, want: chat},
	} {
		t.Run(c.name, func(t *testing.T) {
			tok := withBOS(t)
			set, err := Load(Source{Lang: "l", Paths: []string{write(t, "a.jsonl", c.line)}, Train: true, Columns: c.columns,
				Roles: c.roles}, tok, Options{Template: plainChat(t)})
			if err != nil {
				t.Fatal(err)
			}
			if got := show(t, tok, at(t, set.Train, 0)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			notes := strings.Join(set.Notes, "\n")
			if c.ignored == "" && notes != "" || !strings.HasSuffix(notes, c.ignored) {
				t.Errorf("notes %q, want the columns %q", notes, c.ignored)
			}
		})
	}
}

// What is not known is refused by name, with the line that would read it.
func TestUnknownShapes(t *testing.T) {
	for _, c := range []struct {
		name, line string
		src        Source
		says       []string
	}{
		{name: "question and answer", line: `{"question":"a","answer":"b","id":1}`, says: []string{`columns = {prompt = "question", completion = "answer"}`}},
		{name: "translation", line: `{"src":"a","tgt":"b"}`, says: []string{`columns = {prompt = "src", completion = "tgt"}`}},
		{name: "one column", line: `{"content":"a"}`, says: []string{`columns = {text = "content"}`}},
		{name: "dialogue", line: `{"dialogue":[{"role":"user","content":"a"}]}`, says: []string{`columns = {messages = "dialogue"}`}},
		{name: "preference", line: `{"prompt":"a","chosen":"b","rejected":"c"}`, says: []string{"preference", `columns = {prompt = "prompt", completion = "chosen"}`}},
		{name: "strange", line: `{"a":"x","b":"y"}`, says: []string{`"a", "b"`, "columns = {"}},
		{name: "a column that is not there", line: `{"a":"x"}`, src: Source{Columns: map[string]string{"text": "b"}}, says: []string{`"b", which is not there`, `"a"`}},
		{name: "a name that is none", line: `{"a":"x"}`, src: Source{Columns: map[string]string{"txt": "a"}}, says: []string{`"txt" is none of`, `"text"`}},
		{name: "a role that is none", line: `{"a":"x"}`, src: Source{Roles: map[string]string{"human": "a"}}, says: []string{`"human" is none of`}},
		{name: "unknown role", line: `{"messages":[{"role":"bot","content":"a"}]}`, says: []string{`unknown role "bot"`, `roles = {assistant = "bot"}`}},
		{name: "unknown asker", line: `{"messages":[{"role":"Person","content":"a"}]}`, says: []string{`roles = {user = "Person"}`}},
		{name: "half a weight", line: `{"messages":[{"role":"assistant","content":"a","weight":0.5}]}`, says: []string{`"weight" is 0.5`}},
		{name: "an image", line: `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, says: []string{"image_url", "only text"}},
		{name: "no messages", line: `{"messages":[]}`, says: []string{"empty list"}},
		{name: "two system texts", line: `{"system":"s","messages":[{"role":"system","content":"a"}]}`, says: []string{"keep one"}},
		{name: "history", line: `{"instruction":"q","output":"a","history":[["x"]]}`, says: []string{"history", "1 strings"}},
		{name: "prompts as strings", line: `{"prompt":["q"],"completion":["a"]}`, says: []string{"prompt[0]"}},
		{name: "no language", line: `{"text":"a"}`, src: Source{LangColumn: "lang"}, says: []string{`lang_column is "lang"`, `no "lang"`}},
		{name: "null language", line: `{"text":"a","lang":null}`, src: Source{LangColumn: "lang"}, says: []string{"not a string but null"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.src.Paths, c.src.Train = []string{write(t, "a.jsonl", c.line)}, true
			if c.src.LangColumn == "" {
				c.src.Lang = "l"
			}
			_, err := Load(c.src, withBOS(t), Options{})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error %q does not say %q", err, s)
				}
			}
		})
	}
}

// A column divides one file into languages; only those asked for are read, and each
// has its own held-out documents.
func TestLangColumn(t *testing.T) {
	var lines []string
	for _, lang := range []string{"yo", "sw", "en"} {
		for i := range 20 {
			lines = append(lines, `{"lang":"`+lang+`","text":"`+lang+strings.Repeat("x", i)+`"}`)
		}
	}
	path := write(t, "a.jsonl", strings.Join(lines, "\n"))
	names := func(sets []*Set) (out []string) {
		for _, s := range sets {
			out = append(out, s.Lang)
			if s.Train.Len() != 16 || s.Heldout.Len() != 4 {
				t.Errorf("%s: %d to train on, %d held out", s.Lang, s.Train.Len(), s.Heldout.Len())
			}
		}
		return out
	}
	src := Source{LangColumn: "lang", Paths: []string{path}, Train: true, Holdout: 0.2}
	sets, err := LoadAll([]Source{src}, withBOS(t), Options{})
	if err != nil || !slices.Equal(names(sets), []string{"en", "sw", "yo"}) {
		t.Errorf("languages %v, %v", names(sets), err)
	}
	src.Langs = []string{"yo", "sw"}
	if sets, err = LoadAll([]Source{src}, withBOS(t), Options{}); err != nil || !slices.Equal(names(sets), []string{"sw", "yo"}) {
		t.Errorf("chosen languages %v, %v", names(sets), err)
	}
	src.Langs = []string{"sw", "fr"}
	if _, err = LoadAll([]Source{src}, withBOS(t), Options{}); err == nil || !strings.Contains(err.Error(), `"fr"`) {
		t.Errorf("a language that is not there: %v", err)
	}
}

// Any line of JSON gives a document of valid text, or an error.
func FuzzDocument(f *testing.F) {
	for _, s := range []string{`{"text":"a"}`, `{"prompt":"a","completion":"b"}`, `{"messages":[{"role":"user","content":"q"}]}`,
		`{"conversations":[{"from":"gpt","value":"a"}]}`,
		`{"instruction":"a","output":"b","history":[["a","b"]]}`, `{"inputs":"a","targets":"b"}`, `{"text":"\ud800"}`,
		`{"prompt":[{"role":"user","content":[{"type":"text","text":"a"}]}],"completion":[]}`} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	tok := withBOS(f)
	chatml, err := chat.Builtin("chatml")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte, mapped bool) {
		src := Source{Lang: "l", Paths: []string{write(t, "a.jsonl", string(raw))}, Train: true}
		if mapped {
			src.Columns, src.Roles = map[string]string{"messages": "conversations"}, map[string]string{"user": "x"}
		}
		set, err := Load(src, tok, Options{MaxLen: 20, Template: chatml})
		var e *Error
		switch {
		case err == nil && set.Train.Len() == 0:
			t.Fatal("no example and no error")
		case err != nil && !errors.As(err, &e) && !strings.Contains(err.Error(), "no example left"):
			t.Fatalf("%T %v", err, err)
		}
		if err == nil {
			for _, x := range list(t, set.Train) {
				if len(x.IDs) != len(x.Mask) || x.Targets() == 0 {
					t.Fatalf("example %+v", x)
				}
			}
		}
	})
}
