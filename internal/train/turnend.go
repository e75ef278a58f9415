package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"concord/internal/chat"
	"concord/internal/config"
	"concord/internal/safetensors"
	"concord/internal/tokenizer"
)

// turnEnd is how a template ends an assistant's turns.
type turnEnd struct {
	text    string // "" if nothing ends them
	token   uint32
	isToken bool // text begins with a special token of the model: token
}

func findTurnEnd(tok *tokenizer.Tokenizer, t *chat.Template) (turnEnd, error) {
	end := turnEnd{text: t.EndOfTurn()}
	ids, err := tok.Encode(end.text, false)
	if len(ids) > 0 && tok.IsSpecial(ids[0]) {
		end.token, end.isToken = ids[0], true
	}
	return end, err
}

// withToken is the sorted set of ids and one more.
func withToken(ids []uint32, id uint32) []uint32 {
	out := append(slices.Clone(ids), id)
	slices.Sort(out)
	return slices.Compact(out)
}

// turnWarning says so when conversations are trained whose turns end with something
// at which other programs do not stop.
func (c *corpus) turnWarning(cfg *config.Config) []string {
	chats := 0
	for _, s := range c.sets {
		chats += s.TrainStats.Chats
	}
	if chats == 0 {
		return nil
	}
	dir := cfg.Resolve(cfg.Model.Path)
	end, err := findTurnEnd(c.tokenizer, c.template)
	stops, err2 := c.tokenizer.StopTokens(dir)
	if err != nil || err2 != nil {
		return nil // the data was encoded with the same tokenizer and files
	}
	name, _ := c.tokenizer.IDToToken(end.token)
	switch {
	case end.text == "":
		return []string{"the chat template does not end the assistant's turns: the model will not learn to stop\n" +
			"fix: a copy of it that writes {{ eos_token }} after the answer, as data.template"}
	case !end.isToken:
		return []string{fmt.Sprintf("the assistant's turns end with the text %q, which is no token of this model: "+
			"programs that stop at tokens only do not stop there\n"+
			"fix: a template that writes {{ eos_token }} after the answer, as data.template", end.text)}
	case cfg.Data.Template == "" && !slices.Contains(stops, end.token): // else saveTemplate adds it
		return []string{fmt.Sprintf("the assistant's turns end with %s (%d), which no file of the model names as an end of text: "+
			"other programs do not stop there\n"+
			"fix: add %d to eos_token_id in %s", name, end.token, end.token, filepath.Join(dir, generationFile))}
	}
	return nil
}

// generationFile holds how other programs sample from a model, and where they stop.
const generationFile = "generation_config.json"

// addStop adds a token to those at which the model in dir stops.
func addStop(tok *tokenizer.Tokenizer, dir string, id uint32) error {
	stops, err := tok.StopTokens(dir)
	if err != nil {
		return DataError(err)
	}
	path, keys := filepath.Join(dir, generationFile), map[string]json.RawMessage{}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &keys)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return DataError(fmt.Errorf("%s: %w", path, err))
	}
	if keys["eos_token_id"], err = json.Marshal(withToken(stops, id)); err != nil {
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
