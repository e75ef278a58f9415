package chat

import (
	"fmt"
	"strings"

	"concord/internal/jinja"
)

// Rendering is a conversation as a text.
type Rendering struct {
	Text string
	// Spans are the assistant's turns in Text that are learnt, in bytes, in order.
	Spans []jinja.Span
	// Way says how they were found.
	Way string
	// NoTools: the conversation has tools, and the template does not mention them.
	NoTools bool
}

// ByGeneration and ByPrefix are values of Way; the others name a turn format.
const (
	ByGeneration = "{% generation %}"
	ByPrefix     = "turn by turn"
)

// Train renders a conversation for training. Errors: the template refuses the
// conversation, or where the assistant's turns are in the text is not certain.
func (t *Template) Train(c *Conversation) (Rendering, error) {
	messages, tools, err := c.values()
	if err != nil {
		return Rendering{}, err
	}
	text, marked, err := t.render(messages, tools, false)
	if err != nil {
		return Rendering{}, err
	}
	r := Rendering{Text: text}
	if tools != nil {
		without, _, err := t.render(messages, nil, false)
		r.NoTools = err == nil && without == text
	}
	turns := c.assistants()
	marks := t.plain.HasGeneration()
	if tools != nil {
		marks = t.tools.HasGeneration()
	}
	if marks {
		r.Way, r.Spans = ByGeneration, marked
		return r, r.choose(c, turns)
	}
	x := &search{t, c, messages, tools, text, turns}
	for _, f := range formats {
		if spans, ok := x.byFormat(f); ok {
			r.Way, r.Spans = f.name, spans
			return r, r.choose(c, turns)
		}
	}
	if r.Spans, err = x.byPrefix(); err != nil {
		return Rendering{}, fmt.Errorf("%w: which text is the assistant's is not certain. "+
			"Mark it with {%% generation %%} … {%% endgeneration %%} in a copy of the template and give that as data.template, "+
			"or give data.template = \"chatml\"", err)
	}
	r.Way = ByPrefix
	return r, r.choose(c, turns)
}

// choose leaves out the turns that the data does not want to be learnt.
func (r *Rendering) choose(c *Conversation, turns []int) error {
	all := true
	for _, i := range turns {
		all = all && c.Messages[i].Train
	}
	if all {
		return nil
	}
	if len(r.Spans) != len(turns) {
		return fmt.Errorf("some turns have weight 0, but the template marks %d spans for %d turns of the assistant: which "+
			"is which is not certain; "+
			"leave the weights out, or give a template with one {%% generation %%} for each turn as data.template",
			len(r.Spans), len(turns))
	}
	var kept []jinja.Span
	for k, i := range turns {
		if c.Messages[i].Train {
			kept = append(kept, r.Spans[k])
		}
	}
	r.Spans = kept
	return nil
}

// search looks for the assistant's turns in a text.
type search struct {
	t        *Template
	c        *Conversation
	messages []jinja.Value
	tools    jinja.Value
	text     string
	turns    []int
}

// asked is the text with which the model is asked for the turn i.
func (x *search) asked(i int) (string, error) {
	text, _, err := x.t.render(x.messages[:i], x.tools, true)
	return text, err
}

// byFormat finds turns between the format's markers. It holds only if there are
// as many as assistant turns, none of the messages contains a marker, each holds
// its message's answer, and the last is asked for with the text before it, header
// included.
func (x *search) byFormat(f format) ([]jinja.Span, bool) {
	if len(x.turns) == 0 || strings.Count(x.text, f.header) != len(x.turns) || x.contain(f.header) || x.contain(f.end) {
		return nil, false
	}
	var spans []jinja.Span
	at := 0
	for _, i := range x.turns {
		start := at + strings.Index(x.text[at:], f.header) + len(f.header)
		n := strings.Index(x.text[start:], f.end)
		if n < 0 {
			return nil, false
		}
		at = start + n + len(f.end)
		if !strings.Contains(x.text[start:at], answer(x.c.Messages[i].Content)) {
			return nil, false
		}
		spans = append(spans, jinja.Span{Start: start, End: at})
	}
	asked, err := x.asked(x.turns[len(x.turns)-1])
	last := &spans[len(spans)-1]
	if err != nil || len(asked) < last.Start || len(asked) >= last.End || !strings.HasPrefix(x.text, asked) {
		return nil, false
	}
	last.Start = len(asked) // the question may begin the answer: "<think>"
	return spans, true
}

// answer is the text that templates keep of an assistant's message in any case: the part that stands
// after the thinking.
func answer(content string) string {
	if i := strings.LastIndex(content, "</think>"); i >= 0 {
		content = content[i+len("</think>"):]
	}
	return strings.TrimSpace(content)
}

// contain reports whether a message or the tools hold a marker.
func (x *search) contain(marker string) bool {
	for _, m := range x.c.Messages {
		if strings.Contains(m.Content, marker) {
			return true
		}
		for _, raw := range m.Extra {
			if strings.Contains(string(raw), marker) {
				return true
			}
		}
	}
	return strings.Contains(string(x.c.Tools), marker)
}

// byPrefix takes each turn to be the text that the template adds to the question when the
// turn is there: from the end of the text that asks for it to the end of the text
// of the conversation up to it. Both must be where the text of all begins.
func (x *search) byPrefix() ([]jinja.Span, error) {
	var spans []jinja.Span
	for _, i := range x.turns {
		asked, err := x.asked(i)
		if err != nil {
			return nil, fmt.Errorf("the template does not ask for message %d: %w", i+1, err)
		}
		upTo, _, err := x.t.render(x.messages[:i+1], x.tools, false)
		if err != nil {
			return nil, fmt.Errorf("the template does not render the conversation up to message %d: %w", i+1, err)
		}
		switch {
		case !strings.HasPrefix(x.text, asked):
			return nil, fmt.Errorf("the text that asks for message %d is not where the text of the whole conversation begins", i+1)
		case !strings.HasPrefix(x.text, upTo):
			return nil, fmt.Errorf("the text up to message %d is not where the text of the whole conversation begins "+
				"(the template treats the last answer in a way of its own)", i+1)
		case len(upTo) <= len(asked):
			return nil, fmt.Errorf("the template adds nothing for message %d", i+1)
		case !strings.Contains(upTo[len(asked):], answer(x.c.Messages[i].Content)):
			return nil, fmt.Errorf("the template leaves out the text of message %d", i+1)
		}
		spans = append(spans, jinja.Span{Start: len(asked), End: len(asked) + turnEnd(upTo[len(asked):], x.c.Messages[i].Content)})
	}
	return spans, nil
}

// turnEnd is the length of a turn's text without white space after its end. If
// nothing but white space follows the answer, that is the end.
func turnEnd(turn, content string) int {
	short := strings.TrimRight(turn, " \t\n")
	if content = strings.TrimSpace(content); content != "" && strings.HasSuffix(short, content) {
		return len(turn)
	}
	return len(short)
}
