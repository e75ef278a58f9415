package infer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/chat"
	"concord/internal/data"
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/modeldir"
	"concord/internal/train/traintest"
)

// withTemplate gives the tiny model a chat template and returns its folder.
func withTemplate(t *testing.T, source string) (base string, d device.Options, chatting Generation) {
	t.Helper()
	base, d = tiny(t)
	if err := os.WriteFile(filepath.Join(base, chat.File), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	return base, d, Generation{MaxTokens: 5, TopP: 1}
}

// A question is asked with the text that the folder's template makes of it; what
// is streamed and returned is the answer alone. --raw continues the text.
func TestGenerateByTemplate(t *testing.T) {
	base, d, g := withTemplate(t, traintest.ShortTemplate)
	_, tok, err := modeldir.Open(base)
	if err != nil {
		t.Fatal(err)
	}
	for want, g := range map[string]Generation{
		"uhi\na":       g,
		"sbe\nuhi\na":  {System: "be", MaxTokens: 5, TopP: 1},
		"hi":           {Raw: true, MaxTokens: 5, TopP: 1},
		"<|im_start|>": {Template: "chatml", MaxTokens: 1, TopP: 1},
	} {
		var stream, said strings.Builder
		g.Prompt, g.Stream = "hi", &stream
		if strings.HasPrefix(want, "<|im") {
			g.Prompt, want = "", "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
		}
		out, err := Generate(base, g, saying(d, &said))
		if err != nil {
			t.Fatal(err)
		}
		ids, _ := tok.Encode(want, false)
		text := out.Text
		if g.Raw {
			text = want + text
		}
		if !slices.Equal(out.Prompt, ids) || stream.String() != text {
			t.Errorf("%+v: asked with %q, streamed %q, want %q and %q", g, tok.Decode(out.Prompt, false), stream.String(), want, text)
		}
		if says := map[bool]string{true: "no chat template", false: "chat template of"}[g.Raw]; !strings.Contains(said.String(), says) ||
			!strings.Contains(said.String(), "stops at <|eos|> (") {
			t.Errorf("%+v: said %q", g, said.String())
		}
	}
}

// Each question goes with the whole conversation, and answers are those of a cache
// that begins anew.
func TestChat(t *testing.T) {
	base, d, g := withTemplate(t, traintest.ShortTemplate)
	talk, err := OpenChat(base, 0, Generation{System: "be"}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer talk.Close()
	history := "sbe\n"
	for _, q := range []string{"one", "two", "three"} {
		out, err := talk.Ask(q, g)
		if err != nil {
			t.Fatal(err)
		}
		history += "u" + q + "\na"
		if got := talk.voice.tok.Decode(out.Prompt, false); got != history {
			t.Fatalf("asked with %q, want %q", got, history)
		}
		fresh, err := talk.model.decoder(64)
		if err != nil {
			t.Fatal(err)
		}
		again, err := talk.voice.generate(fresh, out.Prompt, g)
		fresh.Release()
		if err != nil || !slices.Equal(again.IDs, out.IDs) {
			t.Errorf("%q: %v with the cache kept, %v anew, %v", q, out.IDs, again.IDs, err)
		}
		history += out.Text + "\n"
	}
	if _, err := talk.Ask(strings.Repeat("x", 60), g); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), "/new") {
		t.Errorf("more than the context: %v", err)
	}
	if out, err := talk.Ask("on", g); err != nil || !strings.HasPrefix(talk.voice.tok.Decode(out.Prompt, false), history+"uon") {
		t.Errorf("after a refused question: %v, %v", out, err)
	}
	talk.New()
	if out, err := talk.Ask("a", g); err != nil || talk.voice.tok.Decode(out.Prompt, false) != "sbe\nua\na" {
		t.Errorf("a new conversation: %v, %v", out, err)
	} else {
		talk.New() // every token of the same question is in the cache, and its answer is the same
		if again, err := talk.Ask("a", g); err != nil || again.Text != out.Text {
			t.Errorf("the same once more: %v, %v, want %q", again, err, out.Text)
		}
	}
}

// Hidden states are of two languages or more; nothing is opened to say so.
func TestHiddenStatesOfOneLanguage(t *testing.T) {
	o := HiddenOptions{Langs: []string{"aa"}, Examples: make([]data.Examples, 1)}
	if _, err := HiddenStates(t.Context(), t.TempDir(), o); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), "two or more") {
		t.Errorf("one language: %v", err)
	}
}

// The template's end of a turn ends an answer: a token if it is one, else a text.
func TestStopsOfTemplate(t *testing.T) {
	const turn = `{% for m in messages %}{{ m.role + m.content + '<|eos|>' }}{% endfor %}{% if add_generation_prompt %}assistant{% endif %}`
	for _, c := range []struct {
		source string
		texts  []string
		says   string
	}{{traintest.ShortTemplate, []string{"\n"}, `the text "\n"`}, {turn, nil, "stops at <|eos|> ("},
		{traintest.ChatMLTemplate, []string{"<|im_end|>"}, "<|im_end|>"}} {
		base, _, g := withTemplate(t, c.source)
		v, err := openVoice(base, g, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(v.stopTexts, c.texts) || !strings.Contains(v.String(), c.says) {
			t.Errorf("%q: stops at %q: %s", c.source, v.stopTexts, v)
		}
	}
}

func TestChatRefuses(t *testing.T) {
	base, d := tiny(t)
	if _, err := OpenChat(base, 0, Generation{}, d); !errors.Is(err, fault.ErrData) || !strings.Contains(err.Error(), "--template chatml") {
		t.Errorf("no template: %v", err)
	}
	if _, err := Generate(base, Generation{Prompt: "a", System: "b", MaxTokens: 1, TopP: 1}, d); !errors.Is(err, fault.ErrData) ||
		!strings.Contains(err.Error(), "--system") {
		t.Errorf("a system without a template: %v", err)
	}
	if _, err := OpenChat(base, 65, Generation{Template: "chatml"}, d); !errors.Is(err, fault.ErrData) ||
		!strings.Contains(err.Error(), "64") {
		t.Errorf("more context than the model knows: %v", err)
	}
	base, d, _ = withTemplate(t, "{{ raise_exception('only in the morning') }}")
	if _, err := Generate(base, Generation{Prompt: "a", MaxTokens: 1, TopP: 1}, d); !errors.Is(err, fault.ErrData) ||
		!strings.Contains(err.Error(), "only in the morning") {
		t.Errorf("a template that refuses: %v", err)
	}
}

// An adapter's folder has a tokenizer and no config.json: the tokens at which its base
// model stops are from there.
func TestStopsOfAdaptersBase(t *testing.T) {
	base, _ := tiny(t)
	config := filepath.Join(base, "config.json")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	traintest.WriteFile(t, config, strings.Replace(string(text), `"eos_token_id": 257`, `"eos_token_id": [257, 65]`, 1))
	dir := t.TempDir()
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		text, err := os.ReadFile(filepath.Join(base, name))
		if err != nil {
			t.Fatal(err)
		}
		traintest.WriteFile(t, filepath.Join(dir, name), string(text))
	}
	traintest.WriteFile(t, filepath.Join(dir, "adapter_config.json"), fmt.Sprintf(
		`{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "base_model_name_or_path": %q}`, base))
	for _, path := range []string{base, dir} {
		v, err := openVoice(path, Generation{Raw: true}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(v.stop, []uint32{65, 257}) {
			t.Errorf("%s stops at %v", filepath.Base(path), v.stop)
		}
	}
}
