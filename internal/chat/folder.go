package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"concord/internal/special"
)

// Names of files in a model's folder, as transformers writes and reads them.
const (
	File      = "chat_template.jinja"
	more      = "additional_chat_templates"
	tokenizer = "tokenizer_config.json"
	legacy    = "chat_template.json"
	named     = "special_tokens_map.json"
)

// Files are those of a model's folder, besides tokenizer_config.json, that decide
// how conversations are rendered.
var Files = []string{File, legacy, named, more + "/default.jinja", more + "/tool_use.jinja"}

// ChatMLName is the name of the built-in ChatML.
const ChatMLName = "chatml"

// Find returns the chat template of the model in dir, nil if it has none: that
// of chat_template.jinja, else of tokenizer_config.json, else of
// chat_template.json. Where there are several, "default" is used, and "tool_use"
// for conversations with tools; they may also lie in additional_chat_templates.
func Find(dir string) (*Template, error) {
	tokens, config, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	from, texts := tokenizer, config
	if len(texts) == 0 {
		from = legacy
		var c struct {
			Template templates `json:"chat_template"`
		}
		if err := special.ReadJSON(filepath.Join(dir, legacy), &c); err != nil {
			return nil, fmt.Errorf("chat: %w", err)
		}
		texts = c.Template
	}
	files, err := readFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		from, texts = File, files
	}
	if len(texts) == 0 {
		return nil, nil
	}
	plain, ok := texts["default"]
	if !ok {
		return nil, fmt.Errorf("chat: %s: several chat templates, none of them named \"default\": choose one with data.template = \"FILE.jinja\"",
			filepath.Join(dir, from))
	}
	t, err := newTemplate(from, plain, texts["tool_use"], tokens)
	if err != nil {
		return nil, fmt.Errorf("chat: %s: %w", dir, err)
	}
	return t, nil
}

// Open returns the template that is asked for, for the model in dir: "" is the
// model's own (nil if it has none), "chatml" is built in, anything else a file.
func Open(name, dir string) (*Template, error) {
	switch name {
	case "":
		return Find(dir)
	case ChatMLName:
		return Builtin(name)
	}
	return Read(name, dir)
}

// Read returns the template in a file of its own, for the model in dir.
func Read(path, dir string) (*Template, error) {
	tokens, _, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	t, err := newTemplate(path, string(raw), "", tokens)
	if err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	t.From = filepath.Base(path)
	return t, nil
}

// chatML is the format of OpenAI's ChatML, the most common one.
const chatML = `{% if tools %}{{ raise_exception('the built-in chatml has no form for tools') }}{% endif %}` +
	`{% for message in messages %}{% if message.tool_calls %}{{ raise_exception('the built-in chatml has no form for ` +
	`tool calls') }}{% endif %}{{ '<|im_start|>' + message.role + '\n' }}` +
	`{% if message.role == 'assistant' %}{% generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}` +
	`{% else %}{{ message.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// Builtin returns a template by name: "chatml".
func Builtin(name string) (*Template, error) {
	if name != ChatMLName {
		return nil, fmt.Errorf("chat: no built-in template is named %q: there is \"chatml\"", name)
	}
	t, err := newTemplate("built-in chatml", chatML, "", nil)
	if err == nil {
		t.Source = strings.NewReplacer("{% generation %}", "", "{% endgeneration %}", "").Replace(t.Source)
	}
	return t, err
}

// templates are sources by name: in a file a string, a list of {name, template}
// or an object.
type templates map[string]string

// UnmarshalJSON accepts the three forms and null.
func (t *templates) UnmarshalJSON(raw []byte) error {
	*t = templates{}
	var one *string
	if json.Unmarshal(raw, &one) == nil {
		if one != nil {
			(*t)["default"] = *one
		}
		return nil
	}
	var list []struct{ Name, Template string }
	if json.Unmarshal(raw, &list) == nil {
		for _, x := range list {
			(*t)[x.Name] = x.Template
		}
		return nil
	}
	if err := json.Unmarshal(raw, (*map[string]string)(t)); err != nil {
		return errors.New("chat_template is neither a string nor a list of {name, template}")
	}
	return nil
}

// readConfig reads the special tokens and the templates of tokenizer_config.json;
// older folders have the tokens in special_tokens_map.json.
func readConfig(dir string) (tokens map[string]string, config templates, err error) {
	tokens = map[string]string{}
	for _, name := range []string{named, tokenizer} {
		keys := map[string]json.RawMessage{}
		if err := special.ReadJSON(filepath.Join(dir, name), &keys); err != nil {
			return nil, nil, fmt.Errorf("chat: %w", err)
		}
		for key, raw := range keys {
			var t special.Token // others end so too, as add_bos_token, which is no token
			if strings.HasSuffix(key, "_token") && json.Unmarshal(raw, &t) == nil && t.Given {
				tokens[key] = t.Text
			}
		}
		if raw := keys["chat_template"]; raw != nil && name == tokenizer {
			if err := json.Unmarshal(raw, &config); err != nil {
				return nil, nil, fmt.Errorf("chat: %s: %w", filepath.Join(dir, name), err)
			}
		}
	}
	return tokens, config, nil
}

// readFiles reads chat_template.jinja and those beside it, by name.
func readFiles(dir string) (templates, error) {
	out := templates{}
	raw, err := os.ReadFile(filepath.Join(dir, File))
	switch {
	case err == nil:
		out["default"] = string(raw)
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("chat: %w", err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, more, "*.jinja"))
	if err != nil {
		return nil, fmt.Errorf("chat: %w", err)
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("chat: %w", err)
		}
		out[strings.TrimSuffix(filepath.Base(path), ".jinja")] = string(raw)
	}
	return out, nil
}
