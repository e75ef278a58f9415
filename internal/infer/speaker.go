package infer

import (
	"concord/internal/chat"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/tokenizer"
)

// Speaker lets a model, one in training too, go on from prompts that are tokens. It
// says the likeliest token each time, so that the same weights give the same answers.
// Not safe for concurrent use.
type Speaker struct {
	voice *voice
	dec   *model.Decoder
	most  int
}

// NewSpeaker makes one for prompts of at most context tokens and answers of at most
// most. dir is the model's folder, whose files say where answers end, and so does
// template; nil: the model has none. Release frees its memory on the device.
func NewSpeaker(net model.Model, tok *tokenizer.Tokenizer, template *chat.Template, dir string, context, most int) (*Speaker, error) {
	v := &voice{tok: tok, template: template}
	if err := v.readStops(dir); err != nil {
		return nil, fault.Data(err)
	}
	dec, err := net.NewDecoder(context + most)
	if err != nil {
		return nil, fault.Classify(err)
	}
	return &Speaker{voice: v, dec: dec, most: most}, nil
}

// Release frees the memory.
func (s *Speaker) Release() { s.dec.Release() }

// Answer is the model's text after a prompt.
func (s *Speaker) Answer(prompt []uint32) (*Generated, error) {
	s.dec.Truncate(0)
	out, err := s.voice.generate(s.dec, prompt, Generation{MaxTokens: s.most, TopP: 1})
	return out, fault.Classify(err)
}

// Text is the text of tokens that the model was to say: without special tokens, up to
// a text at which answers end.
func (s *Speaker) Text(ids []uint32) string {
	w := &stopWriter{stops: s.voice.stopTexts}
	w.write(s.voice.tok.Decode(ids, true))
	return w.close()
}
