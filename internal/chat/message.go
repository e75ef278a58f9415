package chat

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"concord/internal/jinja"
)

// Roles that every template knows. Others (developer, tool, …) are passed to the
// template as they are.
const (
	RoleSystem    = "system"
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string
	Content string
	// Train says whether the turn is learnt. Only an assistant's turns can be: for
	// others it means nothing. Readers set it unless the data says weight = 0.
	Train bool
	// Extra holds the message's other members as the data has them: tool_calls,
	// name, reasoning_content …. One named content or role replaces the field above
	// (content may be null, or a list of parts).
	Extra map[string]json.RawMessage
}

// Conversation is one document of messages.
type Conversation struct {
	Messages []Message
	// Tools are the functions that the assistant may call, as the data has them
	// (JSON Schema, as OpenAI and Hugging Face write it); nil for none.
	Tools json.RawMessage
}

// values are the conversation's messages and tools as a template sees them.
func (c *Conversation) values() (messages []jinja.Value, tools jinja.Value, err error) {
	for i := range c.Messages {
		d, err := c.Messages[i].value()
		if err != nil {
			return nil, nil, fmt.Errorf("messages[%d]: %w", i, err)
		}
		messages = append(messages, d)
	}
	if len(c.Tools) > 0 {
		if tools, err = jinja.ParseJSON(c.Tools); err != nil {
			return nil, nil, fmt.Errorf("tools: %w", err)
		}
	}
	return messages, tools, nil
}

// reasoningNames are the names under which data holds an assistant's thoughts
// before it answered; transformers gives templates the first one, and gpt-oss'
// the second.
var reasoningNames = []string{"reasoning_content", "thinking", "reasoning"}

func (m *Message) value() (*jinja.Dict, error) {
	d := jinja.NewDict().Set("role", m.Role).Set("content", m.Content)
	for _, key := range slices.Sorted(maps.Keys(m.Extra)) {
		v, err := jinja.ParseJSON(m.Extra[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		d.Set(key, v)
	}
	for _, name := range reasoningNames {
		if v, ok := d.Get(name); ok && v != nil {
			if _, ok := d.Get("thinking"); !ok {
				d.Set("thinking", v)
			}
			d.Set("reasoning_content", v)
			break
		}
	}
	return d, nil
}

// assistants are the numbers of the assistant's messages.
func (c *Conversation) assistants() (at []int) {
	for i, m := range c.Messages {
		if m.Role == RoleAssistant {
			at = append(at, i)
		}
	}
	return at
}

// Blank reports whether the message says nothing: no text but white space, and no
// other member that could.
func (m *Message) Blank() bool {
	return strings.TrimSpace(m.Content) == "" && m.Extra["tool_calls"] == nil && m.Extra["content"] == nil
}
