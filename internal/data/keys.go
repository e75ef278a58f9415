package data

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"concord/internal/records"
)

// otherNames are the names that other tools give to the same columns.
var otherNames = map[string]string{
	"content": "text", "body": "text", "sentence": "text", "document": "text", "story": "text", "passage": "text",
	"question": "prompt", "query": "prompt", "source": "prompt", "src": "prompt", "input": "prompt", "problem": "prompt",
	"user": "prompt", "human": "prompt", "input_text": "prompt", "instruction": "prompt",
	"answer": "completion", "target": "completion", "tgt": "completion", "response": "completion", "output": "completion",
	"solution": "completion", "assistant": "completion", "target_text": "completion", "reply": "completion", "chosen": "completion",
	"conversation": "messages", "chat": "messages", "dialog": "messages", "dialogue": "messages", "turns": "messages",
}

// unrecognised describes columns that make no document, with the line
// that would read them.
func unrecognised(f records.Fields) error {
	const want = `known are {"text"}, {"prompt", "completion"}, {"messages"}, {"conversations"} (ShareGPT), ` +
		`{"instruction", "output"} (Alpaca), {"instruction", "response"} (Dolly), {"inputs", "targets"} (Aya)`
	have := slices.Sorted(maps.Keys(f))
	if len(have) == 0 {
		return errors.New("an empty object: " + want)
	}
	guess := guessed(f)
	if f["chosen"] != nil && f["rejected"] != nil {
		return fmt.Errorf("a preference (%q and %q): training takes one answer; to train on the chosen one: %s", "chosen", "rejected",
			columnsLine(guess, "prompt", "completion"))
	}
	switch {
	case guess["messages"] != "":
		return fmt.Errorf("columns %s: to read them: %s", quoted(have), columnsLine(guess, "messages"))
	case guess["prompt"] != "" && guess["completion"] != "":
		return fmt.Errorf("columns %s: to read them: %s", quoted(have), columnsLine(guess, "prompt", "completion"))
	case f["prompt"] != nil && guess["completion"] == "":
		return fmt.Errorf(`"prompt" without "completion" (columns %s): name the answer's column, `+
			`columns = {prompt = "prompt", completion = "…"}, or columns = {text = "prompt"}`, quoted(have))
	case f["completion"] != nil && guess["prompt"] == "":
		return fmt.Errorf(`"completion" without "prompt" (columns %s): name the prompt's column, `+
			`columns = {prompt = "…", completion = "completion"}, or columns = {text = "completion"}`, quoted(have))
	case guess["text"] != "":
		return fmt.Errorf("columns %s: to read them: %s", quoted(have), columnsLine(guess, "text"))
	}
	return fmt.Errorf(`columns %s: say which is which in the source, `+
		`e.g. columns = {text = %q} or columns = {prompt = "…", completion = "…"} (%s)`, quoted(have), have[0], want)
}

// guessed are the columns whose names and values are those of ours in other tools.
func guessed(f records.Fields) map[string]string {
	guess := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if ours := ownName(key); ours != "" && guess[ours] == "" && isText(f[key], ours) {
			guess[ours] = key
		}
	}
	return guess
}

// GuessColumns is Source.Columns for the file at path, by its first record: nil where its columns
// have no names that other tools use, or a choice is the user's.
func GuessColumns(path string) map[string]string {
	var first records.Fields
	err := records.Read(path, "", func(string, ...any) {}, func(r records.Record) error {
		first = r.Fields
		return errEnough
	})
	if first == nil || err != nil && !errors.Is(err, errEnough) || first["rejected"] != nil {
		return nil
	}
	guess := guessed(first)
	for _, shape := range [][]string{{"messages"}, {"prompt", "completion"}, {"text"}} {
		columns := map[string]string{}
		for _, ours := range shape {
			if guess[ours] != "" {
				columns[ours] = guess[ours]
			}
		}
		if len(columns) == len(shape) {
			return columns
		}
	}
	return nil
}

// ownName is our name of a column, by its name in other tools; "" if there is none.
func ownName(key string) string {
	lower := strings.ToLower(strings.TrimSpace(key))
	if lower == "text" || lower == "prompt" || lower == "completion" || lower == "messages" {
		return lower
	}
	return otherNames[lower]
}

// isText reports whether a value can be a column of that name: messages are a list,
// all else text.
func isText(raw json.RawMessage, ours string) bool {
	return first(raw) == '[' && ours == "messages" || first(raw) == '"' && ours != "messages"
}

// columnsLine is the line of a source that names columns.
func columnsLine(guess map[string]string, ours ...string) string {
	var pairs []string
	for _, k := range ours {
		theirs := guess[k]
		if theirs == "" {
			theirs = "…"
		}
		pairs = append(pairs, fmt.Sprintf("%s = %q", k, theirs))
	}
	return "columns = {" + strings.Join(pairs, ", ") + "}"
}
