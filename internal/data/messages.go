package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"concord/internal/chat"
)

// knownRoles are the roles of a message. Only the assistant's are learnt.
var knownRoles = []string{chat.RoleUser, chat.RoleAssistant, chat.RoleSystem, "developer", "tool"}

// otherRoles are ShareGPT's names of roles.
var otherRoles = map[string]string{
	"human": chat.RoleUser, "gpt": chat.RoleAssistant, "chatgpt": chat.RoleAssistant, "bing": chat.RoleAssistant, "bard": chat.RoleAssistant,
	"observation": "tool", "function_response": "tool",
}

// parseMessages reads a list of messages, in OpenAI's form (role, content) or
// ShareGPT's (from, value). names maps a file's names of roles to ours.
func parseMessages(key string, raw json.RawMessage, names map[string]string) ([]chat.Message, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf(`%q is not a list of {"role": "…", "content": "…"}, but %.40s`, key, raw)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%q is an empty list: leave such documents out", key)
	}
	out := make([]chat.Message, len(list))
	for i, m := range list {
		t, err := parseMessage(m, names)
		if err != nil {
			return nil, fmt.Errorf("%s[%d]: %w", key, i, err)
		}
		out[i] = t
	}
	return out, nil
}

// parseMessage reads one message.
func parseMessage(raw json.RawMessage, names map[string]string) (chat.Message, error) {
	var f map[string]json.RawMessage
	if err := json.Unmarshal(raw, &f); err != nil || f == nil {
		return chat.Message{}, fmt.Errorf(`not an object with "role" and "content", but %.40s`, raw)
	}
	roleKey, contentKey := "role", "content"
	if f["role"] == nil && f["from"] != nil {
		roleKey, contentKey = "from", "value"
	}
	if f[roleKey] == nil {
		return chat.Message{}, errors.New(`no role: add "role": "user", "assistant" or "system"`)
	}
	name, err := stringOf(f, roleKey)
	if err != nil {
		return chat.Message{}, err
	}
	var m chat.Message
	if m.Role, err = roleOf(name, names); err != nil {
		return m, err
	}
	if m.Content, err = contentOf(f, contentKey); err != nil {
		return m, err
	}
	if m.Train, err = trained(f["weight"], m.Role); err != nil {
		return m, err
	}
	m.Extra = extra(f, roleKey, contentKey)
	return m, nil
}

// trained says whether a message is learnt: an assistant's, unless its weight is 0.
func trained(weight json.RawMessage, role string) (bool, error) {
	switch string(weight) {
	case "", "null", "1", "1.0", "true":
		return role == chat.RoleAssistant, nil
	case "0", "0.0", "false":
		return false, nil
	}
	return false, fmt.Errorf(`"weight" is %s: a message is trained (1) or not (0)`, weight)
}

// extra are a message's other members, that only a chat template knows.
func extra(f map[string]json.RawMessage, roleKey, contentKey string) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	for key, v := range f {
		if key == roleKey || key == "weight" || key == contentKey && !isNull(v) || isNull(v) && key != contentKey {
			continue
		}
		if out == nil {
			out = map[string]json.RawMessage{}
		}
		out[key] = v
	}
	return out
}

// roleOf is our name of a role.
func roleOf(name string, names map[string]string) (string, error) {
	if own, ok := names[name]; ok {
		return own, nil
	}
	if slices.Contains(knownRoles, name) {
		return name, nil
	}
	if own, ok := otherRoles[strings.ToLower(name)]; ok {
		return own, nil
	}
	guess := chat.RoleAssistant
	if slices.Contains([]string{"person", "customer", "question", "q", "prompter", "client", "patient"}, strings.ToLower(name)) {
		guess = chat.RoleUser
	}
	return "", fmt.Errorf("unknown role %q: say what it is in the source, e.g. roles = {%s = %q} (ours are %s)", name, guess, name,
		strings.Join(knownRoles, ", "))
}

// contentOf is a message's text: a string, OpenAI's list of text parts, or nothing
// where there are tool calls.
func contentOf(f map[string]json.RawMessage, key string) (string, error) {
	raw := f[key]
	if raw == nil || isNull(raw) {
		if calls := f["tool_calls"]; calls != nil && !isNull(calls) {
			return "", nil
		}
	}
	if first(raw) != '[' {
		return stringOf(f, key)
	}
	var parts []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return "", fmt.Errorf(`%q is neither a string nor a list of {"type": "text", "text": "…"}`, key)
	}
	var text strings.Builder
	for i, p := range parts {
		kind, err := stringOf(p, "type")
		if err != nil {
			return "", fmt.Errorf("%s[%d]: %w", key, i, err)
		}
		if kind != "text" && kind != "input_text" && kind != "output_text" {
			return "", fmt.Errorf("%s[%d] is of type %q: only text can be trained on; leave such documents out", key, i, kind)
		}
		s, err := stringOf(p, "text")
		if err != nil {
			return "", fmt.Errorf("%s[%d]: %w", key, i, err)
		}
		text.WriteString(s)
	}
	return text.String(), nil
}

// reversed maps theirs → ours of a source's roles = {ours = "theirs"}.
func reversed(names map[string]string) map[string]string {
	out := map[string]string{}
	for _, ours := range slices.Sorted(maps.Keys(names)) {
		out[names[ours]] = ours
	}
	return out
}
