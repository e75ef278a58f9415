// Package export makes files of a model for other programs, and proves that they say
// the same as the model. The model is a folder in the Hugging Face layout; making one of a
// run is the business of internal/train.
package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"concord/internal/chat"
	"concord/internal/fault"
	"concord/internal/gguf"
	"concord/internal/model"
	"concord/internal/safetensors"
	"concord/internal/special"
	"concord/internal/tokenizer"
)

// GGUF makes a file of llama.cpp of the model in From, a folder or another such file.
type GGUF struct {
	From, Out string
	Name      string // of the model, which other programs show
	Type      gguf.Type
}

// Write makes the file, all or nothing, and returns the things that it cannot say, a line each. A
// file that is there already is refused.
func (x GGUF) Write() (notes []string, err error) {
	if err := absent(x.Out); err != nil {
		return nil, err
	}
	s, err := openSource(x.From)
	if err != nil {
		return nil, err
	}
	defer s.close()
	meta, notes, err := s.vocabulary()
	if err != nil {
		return nil, fault.Data(err)
	}
	meta = append([]gguf.KV{{Key: "general.name", Value: x.Name}}, meta...)
	err = safetensors.WriteWith(x.Out, func(w io.Writer) error {
		more, err := model.WriteGGUF(w, s.config, x.Type, meta, s.values)
		notes = append(notes, more...)
		return err
	})
	return notes, fault.Data(err)
}

// vocabulary has the file's keys on the tokenizer, of where a text ends, and of
// conversations.
func (s *source) vocabulary() ([]gguf.KV, []string, error) {
	tok := s.tokenizer
	v := gguf.Vocabulary{Tokenizer: tok, Rows: s.config.Vocab, BOS: -1, EOS: -1, EOT: -1, PAD: -1}
	if id, ok := tok.BOS(); ok {
		v.BOS = int(id)
	}
	stops, err := tok.StopTokens(s.folder)
	if err != nil {
		return nil, nil, err
	}
	if id, ok := tok.EOS(); ok {
		v.EOS = int(id)
	}
	var more []string
	for _, id := range stops {
		switch {
		case v.EOS < 0:
			v.EOS = int(id)
		case int(id) == v.EOS:
		case v.EOT < 0:
			v.EOT = int(id)
		default:
			name, _ := tok.IDToToken(id)
			more = append(more, fmt.Sprintf("a GGUF file names two tokens that end a text, the model has more: readers may "+
				"not stop at %s (%d)", name, id))
		}
	}
	if id, ok := padding(s.folder, tok); ok {
		v.PAD = int(id)
	}
	t, err := chat.Find(s.folder)
	if err != nil {
		return nil, nil, err
	}
	if t != nil {
		v.ChatTemplate = t.Source
		if t.HasTools() {
			more = append(more, "the chat template for conversations with tools is left out: a GGUF file has one template")
		}
	}
	meta, notes, err := v.Metadata()
	return meta, append(notes, more...), err
}

// padding is the pad_token of the folder.
func padding(dir string, tok *tokenizer.Tokenizer) (uint32, bool) {
	raw, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false
	}
	var keys struct {
		Pad special.Token `json:"pad_token"`
	}
	if err != nil || json.Unmarshal(raw, &keys) != nil {
		return 0, false // opening the tokenizer has read the file
	}
	if !keys.Pad.Given {
		return 0, false
	}
	return tok.TokenToID(keys.Pad.Text)
}
