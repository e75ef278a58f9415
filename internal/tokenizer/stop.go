package tokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"concord/internal/special"
)

// names are the special tokens that tokenizer_config.json names.
type names struct{ bos, eos string }

// readNames reads a tokenizer_config.json; a file that does not exist names nothing.
func readNames(path string) (names, error) {
	var c struct {
		BOS special.Token `json:"bos_token"`
		EOS special.Token `json:"eos_token"`
	}
	if err := special.ReadJSON(path, &c); err != nil {
		return names{}, fmt.Errorf("tokenizer: %w", err)
	}
	return names{c.BOS.Text, c.EOS.Text}, nil
}

// SaveConfig writes a tokenizer_config.json that names BOS and EOS, for other
// tools and for Load, which finds it beside the tokenizer.json. It is for
// tokenizers that Train made; a loaded folder's own file says more.
func (t *Tokenizer) SaveConfig(path string) error {
	config := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false}
	if id, ok := t.BOS(); ok {
		config["bos_token"], _ = t.IDToToken(id)
	}
	if id, ok := t.EOS(); ok {
		config["eos_token"], _ = t.IDToToken(id)
	}
	data, err := json.MarshalIndent(config, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("tokenizer: save: %w", err)
	}
	return nil
}

// ids is a token id or a list of them.
type ids []uint32

// UnmarshalJSON accepts both forms and null.
func (l *ids) UnmarshalJSON(data []byte) error {
	var one uint32
	if err := json.Unmarshal(data, &one); err == nil {
		if !isNull(data) {
			*l = ids{one}
		}
		return nil
	}
	var many []uint32
	if err := json.Unmarshal(data, &many); err != nil {
		return fmt.Errorf("want a token id or a list of them: %w", err)
	}
	*l = many
	return nil
}

// readFolder reads BOS and EOS from the other files of a model's folder.
func (t *Tokenizer) readFolder(dir string) error {
	path := filepath.Join(dir, "tokenizer_config.json")
	var err error
	if t.config, err = readNames(path); err != nil {
		return err
	}
	for key, name := range map[string]string{"bos_token": t.config.bos, "eos_token": t.config.eos} {
		if _, ok := t.TokenToID(name); name != "" && !ok {
			return fmt.Errorf("tokenizer: %s: %s %q is not in the vocabulary", path, key, name)
		}
	}
	t.eos, err = modelEOS(dir)
	return err
}

// eosFiles are the files of a model's folder that may have eos ids.
var eosFiles = []string{"config.json", "generation_config.json"}

// modelEOS reads the eos ids of eosFiles, in their order.
func modelEOS(dir string) ([]uint32, error) {
	var all []uint32
	for _, name := range eosFiles {
		found, err := eosOf(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// eosOf reads the eos ids of one file.
func eosOf(path string) ([]uint32, error) {
	var c struct {
		EOS  ids `json:"eos_token_id"`
		Text struct {
			EOS ids `json:"eos_token_id"`
		} `json:"text_config"`
	}
	if err := special.ReadJSON(path, &c); err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return append(slices.Clone([]uint32(c.EOS)), c.Text.EOS...), nil
}

// Stop is a token at which generation ends.
type Stop struct {
	ID   uint32
	From []string // the files of the model's folder, and others, that say so
}

// AddStop adds to stops, which stay sorted, that a token is one by the word of from.
func AddStop(stops []Stop, id uint32, from string) []Stop {
	i, found := slices.BinarySearchFunc(stops, id, func(s Stop, id uint32) int { return cmp.Compare(s.ID, id) })
	if !found {
		stops = slices.Insert(stops, i, Stop{ID: id})
	}
	if !slices.Contains(stops[i].From, from) {
		stops[i].From = append(stops[i].From, from)
	}
	return stops
}

// Stops returns the tokens at which generation ends, sorted: the union of the
// eos ids in the model folder's config.json and generation_config.json and the
// eos_token of its tokenizer_config.json, because real models disagree between
// the three (a base model's end of text against a chat model's end of turn).
// Without any of them it is EOS. Files that do not exist are passed over.
func (t *Tokenizer) Stops(dir string) (all []Stop, err error) {
	for _, name := range eosFiles {
		found, err := eosOf(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		for _, id := range found {
			all = AddStop(all, id, name)
		}
	}
	const config = "tokenizer_config.json"
	path := filepath.Join(dir, config)
	n, err := readNames(path)
	if err != nil {
		return nil, err
	}
	if n.eos != "" {
		id, ok := t.TokenToID(n.eos)
		if !ok {
			return nil, fmt.Errorf("tokenizer: %s: eos_token %q is not in the vocabulary", path, n.eos)
		}
		all = AddStop(all, id, config)
	}
	if id, ok := t.EOS(); ok && len(all) == 0 {
		all = AddStop(all, id, "tokenizer.json")
	}
	return all, nil
}

// StopTokens are the ids of Stops.
func (t *Tokenizer) StopTokens(dir string) ([]uint32, error) {
	stops, err := t.Stops(dir)
	var out []uint32
	for _, s := range stops {
		out = append(out, s.ID)
	}
	return out, err
}
