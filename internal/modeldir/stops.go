package modeldir

import (
	"fmt"
	"strings"

	"concord/internal/chat"
	"concord/internal/tokenizer"
)

// Stops are the places at which a model's answers end.
type Stops struct {
	Tokens []tokenizer.Stop // sorted
	Text   string           // the template's end of a turn, where that is no token; else ""
	names  []string         // of the tokens
}

// FindStops collects them from the files of folders and from the template, nil for none. The
// folders are those of the tokenizer and of the model, which are two for an adapter.
func FindStops(tok *tokenizer.Tokenizer, t *chat.Template, folders ...string) (Stops, error) {
	var s Stops
	for _, dir := range folders {
		found, err := tok.Stops(dir)
		if err != nil {
			return Stops{}, err
		}
		for _, f := range found {
			for _, file := range f.From {
				s.Tokens = tokenizer.AddStop(s.Tokens, f.ID, file)
			}
		}
	}
	if t != nil {
		end, err := FindTurnEnd(tok, t)
		switch {
		case err != nil:
			return Stops{}, err
		case end.IsToken:
			s.Tokens = tokenizer.AddStop(s.Tokens, end.Token, "the chat template")
		default:
			s.Text = end.Text
		}
	}
	for _, x := range s.Tokens {
		name, _ := tok.IDToToken(x.ID)
		s.names = append(s.names, name)
	}
	return s, nil
}

// IDs are the tokens.
func (s Stops) IDs() (out []uint32) {
	for _, x := range s.Tokens {
		out = append(out, x.ID)
	}
	return out
}

// List has each of them for people, with the files that say so.
func (s Stops) List() (out []string) {
	for i, x := range s.Tokens {
		out = append(out, fmt.Sprintf("%s (%d: %s)", s.names[i], x.ID, strings.Join(x.From, ", ")))
	}
	if s.Text != "" {
		out = append(out, fmt.Sprintf("the text %q (the chat template)", s.Text))
	}
	return out
}
