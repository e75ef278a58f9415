package data

import (
	"errors"

	"concord/internal/chat"
)

// render makes the parts of a conversation, by the chat template. The template
// writes BOS and the ends of turns itself: nothing is added to its text.
func (e *encoder) render(d *document, n *Stats) error {
	bad := func(err error) error { return &Error{File: d.file, Line: d.line, Msg: err.Error()} }
	if e.opt.Template == nil {
		return bad(errors.New("a conversation, but the model's folder has no chat template to render it with: " +
			"give data.template = \"chatml\", or the path of a template; or read a question and its answer as plain text, " +
			"e.g. columns = {prompt = \"instruction\", completion = \"output\"}"))
	}
	r, err := e.opt.Template.Train(d.chat)
	if err != nil {
		return bad(err)
	}
	n.Chats++
	if r.NoTools {
		n.NoTools++
	}
	switch r.Way {
	case chat.ByGeneration:
		n.ByMarks++
	case chat.ByPrefix:
		n.ByPrefix++
	}
	d.parts = nil
	at := 0
	add := func(end int, learn bool) {
		if at < end {
			d.parts = append(d.parts, part{text: r.Text[at:end], learn: learn})
			at = end
		}
	}
	for _, s := range r.Spans {
		add(s.Start, false)
		add(s.End, true)
	}
	add(len(r.Text), false)
	return nil
}

// mute reports whether the assistant says nothing in any turn that is learnt.
func mute(c *chat.Conversation) bool {
	turns := 0
	for _, m := range c.Messages {
		if m.Role != chat.RoleAssistant || !m.Train {
			continue
		}
		if turns++; !m.Blank() {
			return false
		}
	}
	return turns > 0
}
