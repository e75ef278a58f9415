package corpus

import "concord/internal/fault"

// Prompts are beginnings of the texts, n at most, from each language in turn: held-out
// ones where there are some.
func (c *Corpus) Prompts(n int) ([]string, error) {
	const tokens = 32
	var out []string
	for round := 0; len(out) < n; round++ {
		before := len(out)
		for _, set := range c.Sets {
			examples := set.Heldout
			if examples.Len() == 0 {
				examples = set.Train
			}
			if round >= examples.Len() || len(out) == n {
				continue
			}
			x, err := examples.At(round)
			if err != nil {
				return nil, fault.Data(err)
			}
			if text := c.Tokenizer.Decode(x.IDs[:min(tokens, len(x.IDs))], true); text != "" {
				out = append(out, text)
			}
		}
		if len(out) == before {
			break
		}
	}
	return out, nil
}
