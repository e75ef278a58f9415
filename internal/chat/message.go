package chat

import "encoding/json"

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
