package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// keySets are the sets of keys that a JSON document may have.
var keySets = [][]string{{"text"}, {"prompt", "completion"}, {"messages"}}

// otherNames are the names that other tools give to the same things.
var otherNames = map[string]string{
	"content": "text", "body": "text", "sentence": "text",
	"instruction": "prompt", "input": "prompt", "question": "prompt", "source": "prompt",
	"response": "completion", "output": "completion", "answer": "completion", "target": "completion",
	"conversations": "messages", "conversation": "messages", "chat": "messages", "dialog": "messages",
}

// checkKeys wants the keys to be exactly one of keySets.
func checkKeys(keys map[string]json.RawMessage) error {
	const want = `want {"text"}, {"prompt", "completion"} or {"messages"}`
	have := slices.Sorted(maps.Keys(keys))
	for _, set := range keySets {
		if slices.Equal(have, slices.Sorted(slices.Values(set))) {
			return nil
		}
	}
	for _, key := range have {
		if slices.ContainsFunc(keySets, func(set []string) bool { return slices.Contains(set, key) }) {
			continue
		}
		hint := otherNames[strings.ToLower(key)]
		if hint == "" {
			for _, set := range keySets {
				if slices.Contains(set, strings.ToLower(key)) {
					hint = strings.ToLower(key)
				}
			}
		}
		if hint != "" {
			return fmt.Errorf("unknown key %q: did you mean %q? (%s)", key, hint, want)
		}
		return fmt.Errorf("unknown key %q: remove it (%s)", key, want)
	}
	switch {
	case len(have) == 0:
		return errors.New("an empty object: " + want)
	case len(have) == 1 && have[0] == "prompt":
		return errors.New(`"prompt" without "completion": add the completion, or rename it to "text"`)
	case len(have) == 1 && have[0] == "completion":
		return errors.New(`"completion" without "prompt": add the prompt, or rename it to "text"`)
	}
	return fmt.Errorf("keys %q do not go together: %s", have, want)
}

// jsonError says what is wrong with a line, in the reader's terms.
func jsonError(line []byte, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return fmt.Errorf("a JSON %s, want an object like {\"text\": \"…\"}", kind.Value)
	case errors.As(err, &syntax) && line[0] != '{' && line[0] != '[':
		return errors.New("not JSON: a .jsonl file has one JSON object a line (for plain text set format = \"text\")")
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d: %w: each line must be one complete object", syntax.Offset, err)
	}
	return fmt.Errorf("not JSON: %w", err)
}
