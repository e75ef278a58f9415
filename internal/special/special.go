// Package special reads the special tokens that the files of a model's folder name
// (tokenizer_config.json, special_tokens_map.json): the tokenizer and the chat template
// both depend on them. Start reading at Token.
package special

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Token is a token as the files have it: a string, an object with its content, or null.
type Token struct {
	Text  string
	Given bool // false for null and for an object without content
}

// UnmarshalJSON accepts the three forms, and refuses any other.
func (t *Token) UnmarshalJSON(data []byte) error {
	var s *string
	if json.Unmarshal(data, &s) != nil {
		var o struct{ Content *string }
		if err := json.Unmarshal(data, &o); err != nil {
			return fmt.Errorf("want a string or an object with content: %w", err)
		}
		s = o.Content
	}
	*t = Token{}
	if s != nil {
		*t = Token{*s, true}
	}
	return nil
}

// ReadJSON reads a file into v; a file that does not exist leaves v as it is. Errors name
// the file.
func ReadJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(data, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
