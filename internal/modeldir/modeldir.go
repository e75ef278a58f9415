// Package modeldir is a model's folder in the Hugging Face layout, besides its weights:
// configuration and tokenizer, and where a generation ends.
package modeldir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"concord/internal/chat"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/safetensors"
	"concord/internal/tokenizer"
)

// Files are those of the folder, besides the weights, that decide a model's text.
// Only the first two must be there: the others name BOS and EOS, and say how
// conversations are rendered.
var Files = append([]string{model.ConfigFile, tokenizerFile, "tokenizer_config.json", GenerationFile}, chat.Files...)

// Required is how many of Files must be there.
const Required = 2

const tokenizerFile = "tokenizer.json"

// GenerationFile holds how other programs sample from a model, and where they stop.
const GenerationFile = "generation_config.json"

// Open reads configuration and tokenizer of the model that dir leads to (see Find) and checks that
// they belong together.
func Open(dir string) (model.Config, *tokenizer.Tokenizer, error) {
	s, err := Find(dir)
	mc := s.Config
	if err != nil {
		return mc, nil, err
	}
	tok, err := Tokenizer(s.Dir)
	if err != nil {
		return mc, nil, err
	}
	if tok.VocabSize() > mc.Vocab {
		return mc, nil, fault.Data(fmt.Errorf("%s: the tokenizer has ids up to %d, the embedding only %d rows (vocab_size in config.json): "+
			"they do not belong together\n  fix: take both files from one model's folder", dir, tok.VocabSize()-1, mc.Vocab))
	}
	return mc, tok, nil
}

// Tokenizer reads the tokenizer in the folder dir.
func Tokenizer(dir string) (*tokenizer.Tokenizer, error) {
	tok, err := tokenizer.Load(filepath.Join(dir, tokenizerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w\n  fix: a damaged file: fetch the model's folder again; what is not implemented: another "+
			"model, docs/models.md lists those that are read", err)
	}
	return tok, fault.Data(err)
}

// TurnEnd is how a template ends an assistant's turns.
type TurnEnd struct {
	Text    string // "" if nothing ends them
	Token   uint32
	IsToken bool // Text begins with a special token of the model: Token
}

// FindTurnEnd asks the template how it ends a turn.
func FindTurnEnd(tok *tokenizer.Tokenizer, t *chat.Template) (TurnEnd, error) {
	end := TurnEnd{Text: t.EndOfTurn()}
	ids, err := tok.Encode(end.Text, false)
	if len(ids) > 0 && tok.IsSpecial(ids[0]) {
		end.Token, end.IsToken = ids[0], true
	}
	return end, err
}

// WithToken is the sorted set of ids and one more.
func WithToken(ids []uint32, id uint32) []uint32 {
	out := append(slices.Clone(ids), id)
	slices.Sort(out)
	return slices.Compact(out)
}

// AddStop adds a token to those at which the model in dir stops.
func AddStop(tok *tokenizer.Tokenizer, dir string, id uint32) error {
	stops, err := tok.StopTokens(dir)
	if err != nil {
		return fault.Data(err)
	}
	path, keys := filepath.Join(dir, GenerationFile), map[string]json.RawMessage{}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &keys)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault.Data(fmt.Errorf("%s: %w", path, err))
	}
	if keys["eos_token_id"], err = json.Marshal(WithToken(stops, id)); err != nil {
		return err
	}
	text, err := json.MarshalIndent(keys, "", "  ")
	if err == nil {
		err = safetensors.WriteFile(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
