package corpus

import (
	"fmt"
	"slices"

	"concord/internal/data"
	"concord/internal/fault"
	"concord/internal/tokenizer"
)

// Stats describe one language of a corpus.
type Stats struct {
	Lang        string   `json:"lang"`
	Trained     bool     `json:"trained"`
	Documents   int      `json:"documents"` // of training and held out
	Tokens      int      `json:"tokens"`
	BytesToken  float64  `json:"bytes_per_token"` // of supervised text
	Supervised  float64  `json:"supervised"`      // share of the tokens
	TooLong     float64  `json:"too_long"`        // share of the documents that are longer than data.max_len
	LengthP50   int      `json:"length_p50"`      // tokens of an example, after data.max_len
	LengthP95   int      `json:"length_p95"`
	LengthMax   int      `json:"length_max"`
	Heldout     int      `json:"heldout"`
	Duplicates  int      `json:"duplicates"`
	AlsoTrained int      `json:"heldout_also_trained"`
	Notes       []string `json:"notes,omitempty"`
}

// Stats describes every language, in the order of the sources.
func (c *Corpus) Stats() []Stats {
	var out []Stats
	for i, s := range c.Sets {
		t, h := s.TrainStats, s.HeldoutStats
		d := Stats{Lang: s.Lang, Trained: c.Seen[i], Documents: t.Docs + h.Docs, Tokens: t.Tokens + h.Tokens, Heldout: s.Heldout.Len(),
			BytesToken: ratio(t.Bytes+h.Bytes, t.Supervised+h.Supervised), Supervised: ratio(t.Supervised+h.Supervised, t.Tokens+h.Tokens),
			TooLong: ratio(t.TooLong+h.TooLong, t.Docs+h.Docs), Duplicates: t.Duplicates + h.Duplicates, AlsoTrained: h.Shared, Notes: s.Notes}
		d.LengthP50, d.LengthP95, d.LengthMax = lengths(s.Train, s.Heldout)
		out = append(out, d)
	}
	return out
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// lengths are the median, the 95th percentile and the largest of the examples'
// positions.
func lengths(lists ...data.Examples) (p50, p95, most int) {
	var all []int
	for _, l := range lists {
		for i := range l.Len() {
			all = append(all, l.Positions(i))
		}
	}
	if len(all) == 0 {
		return 0, 0, 0
	}
	slices.Sort(all)
	return all[(len(all)-1)/2], all[(len(all)-1)*95/100], all[len(all)-1]
}

// MaskedText is a stretch of an example's tokens.
type MaskedText struct {
	Text    string `json:"text"`
	Trained bool   `json:"trained"`
	Tokens  int    `json:"tokens"`
}

// MaskedExample is an example as stretches that are trained, or are not.
type MaskedExample struct {
	Lang  string       `json:"lang"`
	Parts []MaskedText `json:"parts"`
}

// Masked are the first n training examples of a language, or of each where lang is "".
func (c *Corpus) Masked(lang string, n int) ([]MaskedExample, error) {
	var out []MaskedExample
	var langs []string
	for _, s := range c.Sets {
		langs = append(langs, s.Lang)
		if lang != "" && s.Lang != lang {
			continue
		}
		examples := s.Train
		if examples.Len() == 0 {
			examples = s.Heldout
		}
		for i := range min(n, examples.Len()) {
			x, err := examples.At(i)
			if err != nil {
				return nil, fault.Data(err)
			}
			out = append(out, MaskedExample{s.Lang, maskedParts(c.Tokenizer, x)})
		}
	}
	if len(out) == 0 {
		return nil, fault.Data(fmt.Errorf("no example of %q: the languages are %v", lang, langs))
	}
	return out, nil
}

// maskedParts divides an example where its mask changes.
func maskedParts(tok *tokenizer.Tokenizer, x data.Example) []MaskedText {
	var out []MaskedText
	for at := 0; at < len(x.IDs); {
		end := at + 1
		for end < len(x.IDs) && x.Mask[end] == x.Mask[at] {
			end++
		}
		out = append(out, MaskedText{tok.Decode(x.IDs[at:end], false), x.Mask[at], end - at})
		at = end
	}
	return out
}
