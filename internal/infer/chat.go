package infer

import (
	"fmt"

	"concord/internal/chat"
	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/modeldir"
	"concord/internal/rundir"
)

// Chat is a conversation with a model: each question is asked with the whole
// conversation, by the model's chat template, as training renders it. Not safe for
// concurrent use.
type Chat struct {
	voice  *voice
	model  *Model
	dec    *model.Decoder
	cached []uint32 // the tokens in the cache
	room   int      // tokens of the context
	system string
	talk   *chat.Conversation
}

// OpenChat opens the model in dir for conversations of at most context tokens
// (0: as many as the model knows, 4096 at most). Of g it takes System and
// Template. A model without a chat template is refused.
func OpenChat(dir string, context int, g Generation, d device.Options) (*Chat, error) {
	dir, err := rundir.ModelDir(dir)
	if err != nil {
		return nil, err
	}
	g.Raw = false
	c := &Chat{system: g.System, talk: newConversation(g.System)}
	if c.voice, err = openVoice(dir, g, d.Warn); err != nil {
		return nil, err
	}
	if c.voice.template == nil {
		return nil, fault.Data(fmt.Errorf("%s has no chat template: concord generate continues a text; --template chatml chats in ChatML", dir))
	}
	mc, _, err := modeldir.Open(dir)
	if err != nil {
		return nil, err
	}
	if c.room = context; c.room == 0 {
		c.room = min(mc.MaxPositions, 4096)
	}
	if c.model, err = Open(dir, d, 1, 2); err != nil {
		return nil, err
	}
	if c.dec, err = c.model.decoder(c.room); err != nil {
		c.model.Close()
		return nil, err
	}
	return c, nil
}

// Ask adds a question, samples the answer and adds it. If it fails, the
// conversation is as before.
func (c *Chat) Ask(question string, g Generation) (*Generated, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	before := len(c.talk.Messages)
	c.talk.Messages = append(c.talk.Messages, chat.Message{Role: chat.RoleUser, Content: question})
	out, err := c.answer(g)
	if err != nil {
		c.talk.Messages = c.talk.Messages[:before]
		return nil, err
	}
	c.talk.Messages = append(c.talk.Messages, chat.Message{Role: chat.RoleAssistant, Content: out.Text})
	return out, nil
}

func (c *Chat) answer(g Generation) (*Generated, error) {
	ids, err := c.voice.ask(c.talk)
	if err != nil {
		return nil, err
	}
	if g.MaxTokens = min(g.MaxTokens, c.room-len(ids)); g.MaxTokens < 1 {
		return nil, fault.Data(fmt.Errorf("the conversation has %d tokens, the context %d: begin anew with /new, or give --context",
			len(ids), c.room))
	}
	same := 0
	for same < len(c.cached) && same < len(ids)-1 && c.cached[same] == ids[same] {
		same++
	}
	c.dec.Truncate(same)
	out, err := c.voice.generate(c.dec, ids, g)
	if err != nil {
		c.cached = nil
		return nil, fault.Classify(err)
	}
	c.cached = append(append(c.cached[:0], ids...), out.IDs...)[:c.dec.Len()]
	return out, nil
}

// New forgets the conversation.
func (c *Chat) New() { c.talk = newConversation(c.system) }

// Close frees the device.
func (c *Chat) Close() {
	c.dec.Release()
	c.model.Close()
}
