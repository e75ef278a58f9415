package data

import (
	"strings"

	"concord/internal/chat"
)

// plainParts renders a conversation plainly, without a chat template: "user: …\n" for
// every role but the assistant, "assistant:" then " …", which is learnt together
// with the EOS token after it.
func plainParts(c *chat.Conversation) []part {
	var parts []part
	var open strings.Builder // text since the last part: not learnt
	for i, m := range c.Messages {
		if m.Role != chat.RoleAssistant {
			open.WriteString(m.Role + ": " + m.Content + "\n")
			continue
		}
		open.WriteString("assistant:")
		parts = append(parts, part{text: open.String()}, part{" " + m.Content, m.Train, true})
		open.Reset()
		if i < len(c.Messages)-1 {
			open.WriteString("\n")
		}
	}
	if open.Len() > 0 || len(parts) == 0 {
		parts = append(parts, part{text: open.String()})
	}
	return parts
}
