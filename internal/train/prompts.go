package train

import "concord/internal/config"

// Prompts are beginnings of the run's texts, n at most, from each language in turn:
// held-out ones where there are some.
func Prompts(cfg *config.Config, n int) ([]string, error) {
	c, err := openCorpus(cfg)
	if err != nil {
		return nil, err
	}
	const tokens = 32
	var out []string
	for round := 0; len(out) < n; round++ {
		before := len(out)
		for _, set := range c.sets {
			examples := set.Heldout
			if examples.Len() == 0 {
				examples = set.Train
			}
			if round >= examples.Len() || len(out) == n {
				continue
			}
			x, err := examples.At(round)
			if err != nil {
				return nil, DataError(err)
			}
			if text := c.tokenizer.Decode(x.IDs[:min(tokens, len(x.IDs))], true); text != "" {
				out = append(out, text)
			}
		}
		if len(out) == before {
			break
		}
	}
	return out, nil
}
