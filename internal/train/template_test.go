package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"concord/internal/chat"
	"concord/internal/config"
	"concord/internal/infer"
	"concord/internal/modeldir"
	"concord/internal/rundir"
	"concord/internal/train/traintest"
)

// talking is the tiny run on conversations.
func talking(t testing.TB, overrides ...string) *config.Config {
	t.Helper()
	cfg := tiny(t, append([]string{"batch.seq_len=64", "batch.rows=3", "schedule.steps=2", "checkpoint.every=1", "eval.every=0",
		"data.overlong=truncate"}, overrides...)...)
	for i, s := range cfg.Data.Source {
		for _, path := range append(cfg.ResolveAll(s.Path), cfg.ResolveAll(s.Heldout)...) {
			var b strings.Builder
			for k := range 4 {
				fmt.Fprintf(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"%d%s\"},{\"role\":\"assistant\",\"content\":\"%d\"}]}\n", k,
					filepath.Base(path)[:4], i)
			}
			traintest.WriteFile(t, path, b.String())
		}
	}
	return cfg
}

// A run on conversations says by which template they are rendered, and its model has
// that template, also that of a checkpoint.
func TestTemplateOfRun(t *testing.T) {
	for name, want := range map[string]string{"": traintest.ShortTemplate, "chatml": "<|im_start|>", "mine.jinja": traintest.ChatMLTemplate} {
		cfg := talking(t, "data.template="+name)
		traintest.WriteFile(t, filepath.Join(cfg.Resolve("base"), chat.File), traintest.ShortTemplate)
		traintest.WriteFile(t, cfg.Resolve("mine.jinja"), traintest.ChatMLTemplate)
		var said strings.Builder
		sum, err := Run(context.Background(), cfg, UI{Out: &said})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (Export{Checkpoint: "1"}).Write(sum.Dir); err != nil {
			t.Fatal(err)
		}
		for _, out := range []string{rundir.ModelFolder, "model-step-1"} {
			raw, err := os.ReadFile(filepath.Join(sum.Dir, out, chat.File))
			if err != nil || !strings.Contains(string(raw), want) || strings.Contains(string(raw), "generation %}") {
				t.Errorf("data.template = %q: %s has the template %q, %v", name, out, raw, err)
			}
		}
		from := map[string]string{"": chat.File, "chatml": "built-in chatml", "mine.jinja": "mine.jinja"}[name]
		if !strings.Contains(said.String(), " chat ") || !strings.Contains(said.String(), from) {
			t.Errorf("data.template = %q: no word of %q in\n%s", name, from, said.String())
		}
		stops := map[string]string{"": `the text "\n" (the chat template)`, "chatml": `the text "<|im_end|>" (the chat template)`}[name]
		for _, want := range []string{"answers stop at <|eos|> (257: config.json, tokenizer_config.json)", stops} {
			if !strings.Contains(said.String(), want) {
				t.Errorf("data.template = %q: not said: %q\n%s", name, want, said.String())
			}
		}
		if !strings.Contains(said.String(), "examples begin and end as the chat template writes them") {
			t.Errorf("data.template = %q: who writes BOS and EOS is not said:\n%s", name, said.String())
		}
	}
}

// A turn's end at which other programs would not stop is said, or, with a template of
// data.template, added to the tokens at which the tuned model stops.
func TestTurnEnds(t *testing.T) {
	turns := func(end string) string {
		return `{% for m in messages %}{{ m.role[0] + m.content + '` + end + `' }}{% endfor %}{% if add_generation_prompt %}a{% endif %}`
	}
	for _, c := range []struct{ end, own, given string }{ // warnings
		{"<|eos|>", "", ""},
		{"<|bos|>", "add 256 to eos_token_id in ", ""},
		{"</turn>", `end with the text "</turn>"`, `end with the text "</turn>"`},
		{"", "does not end the assistant's turns", "does not end the assistant's turns"},
	} {
		for _, given := range []bool{false, true} {
			want, override := c.own, "data.template="
			if given {
				want, override = c.given, "data.template=mine.jinja"
			}
			cfg := talking(t, override, "schedule.steps=1")
			traintest.WriteFile(t, cfg.Resolve("mine.jinja"), turns(c.end))
			traintest.WriteFile(t, filepath.Join(cfg.Resolve("base"), chat.File), turns(c.end))
			traintest.WriteFile(t, filepath.Join(cfg.Resolve("base"), modeldir.GenerationFile), `{"top_p": 0.90, "eos_token_id": 257}`)
			plan, err := Check(cfg)
			if err != nil {
				t.Fatal(err)
			}
			said := strings.Join(plan.Warnings, "\n")
			if want == "" && strings.Contains(said, "turns") || !strings.Contains(said, want) {
				t.Errorf("turns end with %q, given %v: said %q, want %q", c.end, given, said, want)
			}
			if !given || c.end != "<|bos|>" {
				continue
			}
			sum, err := Run(context.Background(), cfg, UI{Out: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(filepath.Join(sum.Model, modeldir.GenerationFile))
			if text := strings.Join(strings.Fields(string(raw)), ""); err != nil || text != `{"eos_token_id":[256,257],"top_p":0.90}` {
				t.Errorf("the tuned model has %s, %v", raw, err)
			}
			out, err := infer.Generate(sum.Model, infer.Generation{Prompt: "A", MaxTokens: 1, TopP: 1}, DeviceOptions(cfg.Device, io.Discard))
			if err != nil || !slices.Equal(out.StopTokens, []uint32{256, 257}) {
				t.Errorf("the tuned model stops at %+v, %v", out, err)
			}
		}
	}
}

// A template that has nothing to render is said to be unused.
func TestTemplateUnused(t *testing.T) {
	cfg := tiny(t)
	for _, template := range []string{"", traintest.ShortTemplate} {
		if template != "" {
			traintest.WriteFile(t, filepath.Join(cfg.Resolve("base"), chat.File), template)
		}
		plan, err := Check(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range plan.Data {
			if strings.Contains(d.Rendering, "chat_template.jinja is not used") != (template != "") {
				t.Errorf("with the template %q: %s: %q", template, d.Lang, d.Rendering)
			}
		}
	}
}

// What decides how conversations are rendered is fixed with the run, and travels.
func TestTemplateIsPinned(t *testing.T) {
	cfg := talking(t, "data.template=mine.jinja")
	traintest.WriteFile(t, cfg.Resolve("mine.jinja"), traintest.ChatMLTemplate)
	traintest.WriteFile(t, filepath.Join(cfg.Resolve("base"), chat.File), traintest.ShortTemplate)
	p := portable(cfg)
	files, open, err := runFiles(cfg)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name] = true
	}
	if !names[p.Data.Template] || !names["model/"+chat.File] {
		t.Errorf("other machines get %v; the template is %q there", files, p.Data.Template)
	}
	if r, err := open(p.Data.Template); err != nil {
		t.Error(err)
	} else {
		raw, _ := io.ReadAll(r)
		r.Close()
		if string(raw) != traintest.ChatMLTemplate {
			t.Errorf("other machines get the template %q", raw)
		}
	}
	if _, err := until("step 1/", running(cfg)); !errors.Is(err, ErrInterrupted) {
		t.Fatal(err)
	}
	for _, path := range []string{cfg.Resolve("mine.jinja"), filepath.Join(cfg.Resolve("base"), chat.File)} {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		traintest.WriteFile(t, path, "x"+string(raw))
		if _, err := Resume(context.Background(), cfg.OutDir(), nil, UI{Out: io.Discard}); !errors.Is(err, ErrData) ||
			!strings.Contains(err.Error(), "has changed since the run was started") {
			t.Errorf("%s changed: %v", path, err)
		}
		traintest.WriteFile(t, path, string(raw))
	}
	if _, err := Resume(context.Background(), cfg.OutDir(), nil, UI{Out: io.Discard}); err != nil {
		t.Error(err)
	}
}

// Conversations without a template, and a template that is not there, are refused
// with the line that helps.
func TestTemplateRefused(t *testing.T) {
	if _, err := Check(talking(t)); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), `give data.template = "chatml"`) {
		t.Errorf("no template: %v", err)
	}
	var conf *config.Error
	if _, err := Check(talking(t, "data.template=chatlm")); !errors.As(err, &conf) ||
		!strings.Contains(err.Error(), `"chatlm" is neither "chatml" nor a file`) {
		t.Errorf("no such template: %v", err)
	}
}
