package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"concord/internal/chat"
	"concord/internal/records"
)

// fields are a record's columns.
type fields = records.Fields

// shape is a set of columns that is known, and how it becomes a document.
type shape struct {
	name     string
	needs    []string // columns that make it recognised
	may      []string // columns that it reads too, where they are there
	document func(f fields, roles map[string]string) (document, error)
}

// shapes are tried in this order: one that says more of a conversation comes first.
var shapes = []shape{
	{"messages", []string{"messages"}, []string{"system", "tools"}, conversation("messages")},
	{"ShareGPT", []string{"conversations"}, []string{"system", "tools"}, conversation("conversations")},
	{"prompt and completion", []string{"prompt", "completion"}, []string{"system", "tools"}, promptCompletion},
	{"Alpaca", []string{"instruction", "output"}, []string{"input", "system", "history"}, instruction("instruction", "input", "output")},
	{"Dolly", []string{"instruction", "response"}, []string{"context", "system"}, instruction("instruction", "context", "response")},
	{"Aya", []string{"inputs", "targets"}, []string{"system"}, instruction("inputs", "", "targets")},
	{"text", []string{"text"}, nil, func(f fields, _ map[string]string) (document, error) {
		text, err := stringOf(f, "text")
		return textDocument(0, text), err
	}},
}

// Columns are the names that a source's columns may be given.
func Columns() []string {
	var out []string
	for _, s := range shapes {
		out = append(out, s.needs...)
		out = append(out, s.may...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// recogniser turns records into documents, by a source's names of columns and roles.
type recogniser struct {
	columns map[string]string // ours → the file's
	roles   map[string]string // the file's → ours
	lang    string            // column that names the language; "" without
	langs   []string          // the only ones that are read; nil: all
	key     string            // column that names the example, or KeyLine; "" without

	keyOptional bool // nothing of the files is trained on

	shapes  []string        // that were recognised, in order
	ignored map[string]bool // columns that nothing reads
}

// document makes a record's document. ok is false for a language that is not read.
func (r *recogniser) document(f fields) (d document, ok bool, err error) {
	lang := ""
	if r.lang != "" {
		if lang, err = stringOf(f, r.lang); err != nil || lang == "" {
			return d, false, fmt.Errorf("lang_column is %q: %w", r.lang, errOr(err, "the language is empty"))
		}
		if len(r.langs) > 0 && !slices.Contains(r.langs, lang) {
			return d, false, nil
		}
	}
	own, err := r.rename(f)
	if err != nil {
		return d, false, err
	}
	if len(own) == 0 && len(f) > 0 {
		return d, false, fmt.Errorf("nothing but null in the columns %s: give it a value, or leave the document out",
			quoted(slices.Sorted(maps.Keys(f))))
	}
	s, err := r.shapeOf(own)
	if err != nil {
		return d, false, err
	}
	if d, err = s.document(own, r.roles); err != nil {
		return d, false, err
	}
	d.lang = lang
	if r.key != "" && r.key != KeyLine {
		if d.key, err = keyOf(f, r.key, r.keyOptional); err != nil {
			return d, false, err
		}
	}
	r.note(f, s)
	return d, true, nil
}

// rename gives the columns our names; a null value counts as not there.
func (r *recogniser) rename(f fields) (fields, error) {
	own := fields{}
	for key, v := range f {
		if !isNull(v) {
			own[key] = v
		}
	}
	if len(r.columns) == 0 {
		return own, nil
	}
	renamed := fields{}
	for ours, theirs := range r.columns {
		v, ok := own[theirs]
		if !ok {
			if _, null := f[theirs]; null || isOptional(ours) {
				continue
			}
			return nil, fmt.Errorf("columns names %q, which is not there: the columns are %s", theirs, quoted(slices.Sorted(maps.Keys(f))))
		}
		renamed[ours] = v
	}
	return renamed, nil
}

// isOptional reports whether no shape needs the column.
func isOptional(column string) bool {
	return !slices.ContainsFunc(shapes, func(s shape) bool { return slices.Contains(s.needs, column) })
}

// shapeOf is the first shape whose columns are there.
func (r *recogniser) shapeOf(f fields) (shape, error) {
	for _, s := range shapes {
		if !slices.ContainsFunc(s.needs, func(key string) bool { return f[key] == nil }) {
			return s, nil
		}
	}
	return shape{}, unrecognised(f)
}

// note remembers the shape, and the columns that it does not read.
func (r *recogniser) note(f fields, s shape) {
	if !slices.Contains(r.shapes, s.name) {
		r.shapes = append(r.shapes, s.name)
	}
	for key := range f {
		if r.ignored[key] || key == r.lang || key == r.key || r.reads(s, key) {
			continue
		}
		if r.ignored == nil {
			r.ignored = map[string]bool{}
		}
		r.ignored[key] = true
	}
}

// tell says how a file was read, where that may not be meant.
func (r *recogniser) tell(path string, note func(string, ...any)) {
	if len(r.ignored) > 0 {
		note("%s: read as %s; columns that are not read: %s", path, strings.Join(r.shapes, " and "),
			strings.Join(slices.Sorted(maps.Keys(r.ignored)), ", "))
	}
	if r.lang != "" && len(r.shapes) == 0 && len(r.langs) > 0 {
		note("%s: no document has a language (column %s) of %s", path, r.lang, strings.Join(r.langs, ", "))
	}
}

// reads reports whether the shape reads the file's column.
func (r *recogniser) reads(s shape, key string) bool {
	for _, own := range [][]string{s.needs, s.may} {
		for _, k := range own {
			if theirs, ok := r.columns[k]; ok && theirs == key || len(r.columns) == 0 && k == key {
				return true
			}
		}
	}
	return false
}

// conversation is the document of a list of messages.
func conversation(key string) func(fields, map[string]string) (document, error) {
	return func(f fields, names map[string]string) (document, error) {
		m, err := parseMessages(key, f[key], names)
		if err != nil {
			return document{}, err
		}
		return chatDocument(f, m)
	}
}

// chatDocument is the document of messages, after the text of a column "system".
func chatDocument(f fields, m []chat.Message) (document, error) {
	if f["system"] != nil {
		text, err := stringOf(f, "system")
		if err != nil {
			return document{}, err
		}
		if text != "" && m[0].Role == chat.RoleSystem {
			return document{}, errors.New(`both a column "system" and a system message: keep one`)
		}
		if text != "" {
			m = append([]chat.Message{{Role: chat.RoleSystem, Content: text}}, m...)
		}
	}
	return document{chat: &chat.Conversation{Messages: m, Tools: f["tools"]}}, nil
}

// question and answer are the two turns of an exchange.
func question(text string) chat.Message { return chat.Message{Role: chat.RoleUser, Content: text} }

func answer(text string) chat.Message {
	return chat.Message{Role: chat.RoleAssistant, Content: text, Train: true}
}

// promptCompletion is a prompt with its answer as text, or both as lists of messages,
// the answer's part learnt.
func promptCompletion(f fields, names map[string]string) (document, error) {
	if first(f["prompt"]) != '[' {
		prompt, err1 := stringOf(f, "prompt")
		completion, err2 := stringOf(f, "completion")
		if err := errors.Join(err1, err2); err != nil || f["system"] == nil && f["tools"] == nil {
			return pairDocument(prompt, completion), err
		}
		return chatDocument(f, []chat.Message{question(prompt), answer(completion)})
	}
	prompt, err := parseMessages("prompt", f["prompt"], names)
	if err != nil {
		return document{}, err
	}
	for i := range prompt {
		prompt[i].Train = false
	}
	completion, err := parseMessages("completion", f["completion"], names)
	if err != nil {
		return document{}, err
	}
	return chatDocument(f, append(prompt, completion...))
}

// instruction is a question with its answer, as a conversation: the question is the
// instruction and, after a blank line, the text that it is about.
func instruction(ask, about, reply string) func(fields, map[string]string) (document, error) {
	return func(f fields, _ map[string]string) (document, error) {
		m, err := history(f)
		if err != nil {
			return document{}, err
		}
		q, err1 := stringOf(f, ask)
		a, err2 := stringOf(f, reply)
		if err := errors.Join(err1, err2); err != nil {
			return document{}, err
		}
		if f[about] != nil {
			s, err := stringOf(f, about)
			if err != nil {
				return document{}, err
			}
			if strings.TrimSpace(s) != "" {
				q += "\n\n" + s
			}
		}
		return chatDocument(f, append(m, question(q), answer(a)))
	}
}

// history is the earlier questions and answers of Alpaca's form: a list of pairs.
func history(f fields) ([]chat.Message, error) {
	if f["history"] == nil {
		return nil, nil
	}
	var pairs [][]string
	if err := json.Unmarshal(f["history"], &pairs); err != nil {
		return nil, fmt.Errorf(`"history" is not a list of pairs of strings, but %.40s`, f["history"])
	}
	var m []chat.Message
	for _, p := range pairs {
		if len(p) != 2 {
			return nil, fmt.Errorf(`"history" has an entry of %d strings: want a question and its answer`, len(p))
		}
		m = append(m, question(p[0]), answer(p[1]))
	}
	return m, nil
}

// stringOf is the string value of a column.
func stringOf(f map[string]json.RawMessage, key string) (string, error) {
	raw, ok := f[key]
	if !ok {
		return "", fmt.Errorf("no %q, which other documents have: add it, or leave the document out", key)
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", fmt.Errorf("%q is not a string but %.40s: put it in quotes, or leave the document out", key, raw)
	}
	// encoding/json replaces half a surrogate pair by U+FFFD without a word.
	if strings.ContainsRune(*s, utf8.RuneError) && !bytes.ContainsRune(raw, utf8.RuneError) &&
		!bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) {
		return "", fmt.Errorf("%q holds half of a surrogate pair (\\ud800 … \\udfff): write the character itself or both halves", key)
	}
	return *s, nil
}

// isNull reports whether a value is JSON's null.
func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// first is a value's first byte.
func first(raw json.RawMessage) byte {
	if len(raw) == 0 {
		return 0
	}
	return raw[0]
}

func errOr(err error, otherwise string) error {
	if err != nil {
		return err
	}
	return errors.New(otherwise)
}

// quoted lists names in quotes.
func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(out, ", ")
}
