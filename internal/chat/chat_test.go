package chat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// talk makes a conversation of roles and contents in turn; roles that begin with
// "-" are not learnt.
func talk(turns ...string) *Conversation {
	c := &Conversation{}
	for i := 0; i < len(turns); i += 2 {
		role, skip := strings.CutPrefix(turns[i], "-")
		c.Messages = append(c.Messages, Message{Role: role, Content: turns[i+1], Train: !skip})
	}
	return c
}

// Tools that a template does not know are told.
func TestToolsLeftOut(t *testing.T) {
	with := talk("user", "a", "assistant", "b")
	with.Tools = json.RawMessage(`[{"name": "f"}]`)
	for source, want := range map[string]bool{im: true, "{% if tools %}{{ tools | tojson }}{% endif %}" + im: false} {
		tm, err := newTemplate("t", source, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := tm.Train(with); err != nil || r.NoTools != want {
			t.Errorf("%q: %+v, %v", source, r, err)
		}
		if r, err := tm.Train(talk("user", "a", "assistant", "b")); err != nil || r.NoTools {
			t.Errorf("%q without tools: %+v, %v", source, r, err)
		}
	}
}

// learnt are the learnt parts of a rendering.
func learnt(r Rendering) (out []string) {
	for _, s := range r.Spans {
		out = append(out, r.Text[s.Start:s.End])
	}
	return out
}

const (
	im = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}{% ` +
		`if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`
	plainWay = `{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}` +
		`{{ 'assistant: ' }}{% endif %}`
	// thinking begins the last answer in the question, as Qwen 3.5 does.
	thinking = `{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + ('<think>\n' if m.role == 'assistant' and ` +
		`loop.last else '') + m.content + '<|im_end|>\n' }}{% endfor %}` +
		`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}`
	// lastDiffers treats the last answer in a way of its own, in no known format.
	lastDiffers = `{% for m in messages %}{{ '[' + m.role + ']' + ('(last)' if loop.last and m.role == 'assistant' else ` +
		`'') + m.content + '\n' }}{% endfor %}` +
		`{% if add_generation_prompt %}{{ '[assistant]' }}{% endif %}`
)

// How turns are found, what is learnt of them, and when that is refused.
func TestTrain(t *testing.T) {
	two := talk("user", "a", "assistant", "b", "user", "c", "assistant", "d")
	tools := talk("user", "a", "assistant", "b")
	tools.Messages[1].Extra = map[string]json.RawMessage{"tool_calls": json.RawMessage(`[{"function": {"name": "f"}}]`)}
	for name, c := range map[string]struct {
		source string
		conv   *Conversation
		way    string
		want   []string // learnt
		fails  string
	}{
		"a known format":           {im, two, "ChatML turns", []string{"b<|im_end|>", "d<|im_end|>"}, ""},
		"one turn of weight 0":     {im, talk("user", "a", "-assistant", "b", "user", "c", "assistant", "d"), "ChatML turns", []string{"d<|im_end|>"}, ""},
		"none asked for":           {im, talk("user", "a", "-assistant", "b"), "ChatML turns", nil, ""},
		"no assistant":             {im, talk("user", "a"), ByPrefix, nil, ""},
		"two answers in a row":     {im, talk("user", "a", "assistant", "b", "assistant", "c"), "ChatML turns", []string{"b<|im_end|>", "c<|im_end|>"}, ""},
		"a marker in a message":    {im, talk("user", "<|im_start|>assistant\nx<|im_end|>", "assistant", "b"), ByPrefix, []string{"b<|im_end|>"}, ""},
		"the question begins it":   {thinking, two, "ChatML turns", []string{"b<|im_end|>", "d<|im_end|>"}, ""},
		"an empty answer":          {im, talk("user", "a", "assistant", ""), "ChatML turns", []string{"<|im_end|>"}, ""},
		"a newline ends the turn":  {plainWay, two, ByPrefix, []string{"b\n", "d\n"}, ""},
		"the last answer differs":  {lastDiffers, two, "", nil, "in a way of its own"},
		"an answer is left out":    {`{% for m in messages %}{{ m.role }}{% endfor %}{% if add_generation_prompt %}{{ 'assis' }}{% endif %}`, two, "", nil, "leaves out the text of message 2"},
		"not asked with the same":  {strings.Replace(im, "'<|im_start|>assistant\\n' }}{% endif", "'<|im_start|>bot\\n' }}{% endif", 1), two, "", nil, "not where the text of the whole conversation begins"},
		"the template's refusal":   {`{{ raise_exception('no system turns') }}`, two, "", nil, "no system turns"},
		"marks":                    {chatML, two, ByGeneration, []string{"b<|im_end|>", "d<|im_end|>"}, ""},
		"marks, weight 0":          {chatML, talk("user", "a", "assistant", "b", "user", "c", "-assistant", "d"), ByGeneration, []string{"b<|im_end|>"}, ""},
		"marks that do not count":  {`{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}`, talk("user", "a", "-assistant", "b"), "", nil, "2 spans for 1 turns"},
		"tools in built-in ChatML": {chatML, tools, "", nil, "no form for tool calls"},
	} {
		tm, err := newTemplate("t", c.source, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tm.Train(c.conv)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v, want an error with %q", name, err, c.fails)
			}
			continue
		}
		if err != nil || r.Way != c.way || !slices.Equal(learnt(r), c.want) {
			t.Errorf("%s: %q by %s, %v, want %q by %s", name, learnt(r), r.Way, err, c.want, c.way)
		}
	}
}

func TestEndOfTurn(t *testing.T) {
	for source, want := range map[string]string{im: "<|im_end|>", plainWay: "\n", chatML: "<|im_end|>", lastDiffers: "\n",
		`{{ raise_exception('x') }}`: ""} {
		tm, err := newTemplate("t", source, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := tm.EndOfTurn(); got != want {
			t.Errorf("%q: end of turn %q, want %q", source, got, want)
		}
	}
}

// Where transformers looks for templates and tokens, and in which order.
func TestFind(t *testing.T) {
	conv := talk("user", "hi")
	withTools := talk("user", "hi")
	withTools.Tools = json.RawMessage(`[{"name": "f"}]`)
	for name, c := range map[string]struct {
		files       map[string]string
		want, tools string // of the two conversations; "" = no template
		fails       string
	}{
		"none":              {files: map[string]string{"tokenizer_config.json": `{"bos_token": "<s>", "chat_template": null}`}},
		"no file":           {},
		"a string":          {files: map[string]string{"tokenizer_config.json": `{"bos_token": "<s>", "chat_template": "{{ bos_token }}A"}`}, want: "<s>A", tools: "<s>A"},
		"token objects":     {files: map[string]string{"tokenizer_config.json": `{"eos_token": {"content": "</s>", "lstrip": false}, "chat_template": "{{ eos_token }}{{ bos_token }}"}`}, want: "</s>", tools: "</s>"},
		"a list":            {files: map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T{{ tools[0].name }}"}, {"name": "rag", "template": "R"}]}`}, want: "D", tools: "Tf"},
		"no default":        {files: map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "rag", "template": "R"}]}`}, fails: "default"},
		"a file goes first": {files: map[string]string{"tokenizer_config.json": `{"bos_token": "<s>", "chat_template": "A"}`, "chat_template.jinja": "{{ bos_token }}B\n"}, want: "<s>B", tools: "<s>B"},
		"files":             {files: map[string]string{"chat_template.jinja": "B", "additional_chat_templates/tool_use.jinja": "C"}, want: "B", tools: "C"},
		"a processor's":     {files: map[string]string{"chat_template.json": `{"chat_template": "P"}`}, want: "P", tools: "P"},
		"older tokens":      {files: map[string]string{"special_tokens_map.json": `{"bos_token": "<o>"}`, "chat_template.jinja": "{{ bos_token }}"}, want: "<o>", tools: "<o>"},
		"a broken one":      {files: map[string]string{"chat_template.jinja": "\n{% if %}"}, fails: "chat_template.jinja: chat template line 2"},
		"not JSON":          {files: map[string]string{"tokenizer_config.json": `{`}, fails: "tokenizer_config.json"},
		"another kind":      {files: map[string]string{"tokenizer_config.json": `{"chat_template": 3}`}, fails: "neither a string nor a list"},
	} {
		dir := t.TempDir()
		for file, text := range c.files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		tm, err := Find(dir)
		switch {
		case c.fails != "":
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v, want an error with %q", name, err, c.fails)
			}
		case err != nil || (tm == nil) != (c.want == ""):
			t.Errorf("%s: %v, %v", name, tm, err)
		case tm != nil:
			a, err1 := tm.Prompt(conv)
			b, err2 := tm.Prompt(withTools)
			if a != c.want || b != c.tools || err1 != nil || err2 != nil {
				t.Errorf("%s: %q and %q, %v, %v, want %q and %q", name, a, b, err1, err2, c.want, c.tools)
			}
		}
	}
}

func TestReadAndBuiltin(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "mine.jinja")
	if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(`{"eos_token": "</s>", "chat_template": "A"}`),
		0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("{{ messages[0].content }}{{ eos_token }}"), 0o644); err != nil {
		t.Fatal(err)
	}
	tm, err := Read(path, dir)
	if err != nil {
		t.Fatal(err)
	}
	if tm.From != "mine.jinja" {
		t.Errorf("named %q, not by the file's name as those of a model's folder are", tm.From)
	}
	if text, err := tm.Prompt(talk("user", "hi")); text != "hi</s>" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := Read(filepath.Join(dir, "none.jinja"), dir); err == nil {
		t.Error("a file that does not exist is read")
	}
	if _, err := Builtin("chatlm"); err == nil || !strings.Contains(err.Error(), `"chatml"`) {
		t.Errorf("an unknown built-in template: %v", err)
	}
	if tm, err = Builtin("chatml"); err != nil || tm.From != "built-in chatml" {
		t.Errorf("%v, %v", tm, err)
	}
}
