package chat

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"concord/internal/jinja"
)

// Template is a model's chat template. Immutable, safe for concurrent use.
type Template struct {
	From    string // the name of the file that it stands in, without folders, or "built-in chatml"
	Source  string // Jinja, for other tools; that without tools, where a folder has several
	plain   *jinja.Template
	tools   *jinja.Template // for conversations with tools; equals plain where there is one only
	special map[string]string
	now     time.Time

	toolSource string // of tools; "" where there is one template only
}

// Date is the day that templates which tell the model a date tell it: a date that
// changes from day to day would make every day's run another one. It is the one that Llama 3's template falls back to.
var Date = time.Date(2024, time.July, 26, 0, 0, 0, 0, time.UTC)

// newTemplate reads the sources: tools may be empty.
func newTemplate(from, plain, tools string, special map[string]string) (*Template, error) {
	t := &Template{From: from, Source: plain, toolSource: tools, special: special, now: Date}
	var err error
	if t.plain, err = jinja.Parse(plain); err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	if t.tools = t.plain; tools != "" {
		if t.tools, err = jinja.Parse(tools); err != nil {
			return nil, fmt.Errorf("%s (tool_use): %w", from, err)
		}
	}
	return t, nil
}

// Key is all that decides the text that the template makes of a conversation: templates
// with the same key make the same text.
func (t *Template) Key() string {
	parts := []string{t.Source, t.toolSource, t.now.Format(time.DateOnly)}
	for _, name := range slices.Sorted(maps.Keys(t.special)) {
		parts = append(parts, name, t.special[name])
	}
	return strings.Join(parts, "\x00")
}

// Prompt returns the text with which the model is asked for the next answer.
func (t *Template) Prompt(c *Conversation) (string, error) {
	messages, tools, err := c.values()
	if err != nil {
		return "", err
	}
	text, _, err := t.render(messages, tools, true)
	return text, err
}

// render applies the template: ask adds the header of an answer.
func (t *Template) render(messages []jinja.Value, tools jinja.Value, ask bool) (string, []jinja.Span, error) {
	d := jinja.NewDict()
	for name, token := range t.special {
		d.Set(name, token)
	}
	d.Set("messages", jinja.NewList(messages...)).Set("tools", tools).Set("documents", nil).Set("add_generation_prompt", ask)
	use := t.plain
	if tools != nil {
		use = t.tools
	}
	return use.Render(d, jinja.Options{Now: t.now})
}

// EndOfTurn returns the text that ends an assistant's turn, "" if the template
// gives none away: the text that Train finds after the answer to a plain question.
func (t *Template) EndOfTurn() string {
	const answer = "xyzzy"
	r, err := t.Train(&Conversation{Messages: []Message{{Role: RoleUser, Content: "a"}, {Role: RoleAssistant, Content: answer, Train: true}}})
	if err != nil || len(r.Spans) != 1 {
		return ""
	}
	_, end, _ := strings.Cut(r.Text[r.Spans[0].Start:r.Spans[0].End], answer)
	return end
}

// HasTools reports whether conversations with tools have a template of their own.
func (t *Template) HasTools() bool { return t.toolSource != "" }
