package infer

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"concord/internal/chat"
	"concord/internal/fault"
	"concord/internal/modeldir"
	"concord/internal/tokenizer"
)

// voice is how a model is spoken to: its tokenizer, its chat template and where it
// stops.
type voice struct {
	tok       *tokenizer.Tokenizer
	template  *chat.Template // nil: text is continued as it is
	stop      []uint32       // tokens that end a generation, from all of the folder's files and the template
	stopTexts []string       // the same as texts, where the template's end of a turn is no token
	stopNames []string       // all of these for people
}

// openVoice reads the folder of a model and names on warn the files in use.
func openVoice(dir string, g Generation, warn io.Writer) (*voice, error) {
	s, err := modeldir.Find(dir)
	if err != nil {
		return nil, err
	}
	dir = s.Dir
	base, err := modeldir.Folder(s.Base)
	if err != nil {
		return nil, err
	}
	_, tok, err := modeldir.Open(dir)
	if err != nil {
		return nil, err
	}
	v := &voice{tok: tok}
	if !g.Raw {
		if v.template, err = chat.Open(g.Template, dir); err != nil {
			return nil, fault.Data(err)
		}
	}
	if v.template == nil && g.System != "" {
		return nil, fault.Data(fmt.Errorf("%s: no chat template that could say what the system says: "+
			"give --template chatml, or leave --system out", dir))
	}
	if err := v.readStops(dir, base); err != nil {
		return nil, fault.Data(err)
	}
	fmt.Fprintln(warn, "concord:", v)
	return v, nil
}

// readStops collects where a generation ends, by the folder of the tokenizer and that of
// the model, which are two for an adapter.
func (v *voice) readStops(folders ...string) error {
	stops, err := modeldir.FindStops(v.tok, v.template, folders...)
	if v.stop, v.stopNames = stops.IDs(), stops.List(); stops.Text != "" {
		v.stopTexts = []string{stops.Text}
	}
	return err
}

// String names the template in use.
func (v *voice) String() string {
	how := "no chat template: the text is continued as it is"
	if v.template != nil {
		how = "chat template of " + v.template.From + " (concord generate --raw continues the text as it is)"
	}
	if len(v.stopNames) == 0 {
		return how + "; nothing stops it but --max-tokens: no file names an end-of-text token"
	}
	return how + "; stops at " + strings.Join(v.stopNames, ", ")
}

// prompt encodes the question: by the template, or as training encodes a
// document's beginning.
func (v *voice) prompt(g Generation) ([]uint32, error) {
	if v.template == nil {
		return promptIDs(v.tok, g.Prompt)
	}
	c := newConversation(g.System)
	c.Messages = append(c.Messages, chat.Message{Role: chat.RoleUser, Content: g.Prompt})
	return v.ask(c)
}

// newConversation begins with the system's message, if there is one.
func newConversation(system string) *chat.Conversation {
	c := &chat.Conversation{}
	if system != "" {
		c.Messages = append(c.Messages, chat.Message{Role: chat.RoleSystem, Content: system})
	}
	return c
}

// ask encodes the text with which the template asks for the next answer. The
// template has the special tokens in it: none are added.
func (v *voice) ask(c *chat.Conversation) ([]uint32, error) {
	text, err := v.template.Prompt(c)
	if err != nil {
		return nil, fault.Data(err)
	}
	ids, err := v.tok.Encode(text, false)
	if err == nil && len(ids) == 0 {
		err = errors.New("the chat template makes an empty text of the conversation")
	}
	if err != nil {
		return nil, fault.Data(err)
	}
	return ids, nil
}

// promptIDs encodes the prompt as training encodes a document's beginning.
func promptIDs(tok *tokenizer.Tokenizer, prompt string) ([]uint32, error) {
	ids, err := tok.Encode(prompt, true)
	if err != nil {
		return nil, fault.Data(err)
	}
	if len(ids) > 0 {
		return ids, nil
	}
	if bos, ok := tok.BOS(); ok {
		return []uint32{bos}, nil
	}
	return nil, fault.Data(errors.New("the prompt is empty and the tokenizer has no BOS token to begin with"))
}
