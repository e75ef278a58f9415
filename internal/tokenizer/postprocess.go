package tokenizer

import (
	"encoding/json"
	"fmt"
)

// template has the tokens that a post-processor adds around one sequence.
type template struct {
	before, after []uint32
}

// apply returns before + ids + after.
func (t template) apply(ids []uint32) []uint32 {
	if len(t.before) > 0 {
		ids = append(append(make([]uint32, 0, len(t.before)+len(ids)+len(t.after)), t.before...), ids...)
	}
	return append(ids, t.after...)
}

// parseTemplate reads the post-processor: at most one template. ByteLevel only
// trims offsets.
func parseTemplate(raw json.RawMessage, t *Tokenizer) (template, error) {
	steps, err := parseComponent("post_processor", raw, "processors", 0, func(kind string, o *object) (template, bool) {
		switch kind {
		case "ByteLevel":
			o.ignore("add_prefix_space", "trim_offsets", "use_regex")
			return template{}, true
		case "TemplateProcessing":
			return oneTemplate(o, t), true
		}
		return template{}, false
	})
	if err != nil {
		return template{}, err
	}
	var out template
	templates := 0
	for _, s := range steps {
		if len(s.before)+len(s.after) > 0 {
			out, templates = s, templates+1
		}
	}
	if templates > 1 {
		return template{}, fmt.Errorf("tokenizer: post_processor: %d templates in a Sequence are not implemented", templates)
	}
	return out, nil
}

// oneTemplate reads a TemplateProcessing; "pair" is for two sequences and
// never used here.
func oneTemplate(o *object, t *Tokenizer) template {
	o.ignore("pair")
	var pieces []map[string]struct {
		ID     string `json:"id"`
		TypeID int    `json:"type_id"`
	}
	var specials map[string]struct {
		IDs []uint32 `json:"ids"`
	}
	o.get("single", &pieces, true)
	o.get("special_tokens", &specials, true)
	var out template
	sequences := 0
	for i, p := range pieces {
		special, isSpecial := p["SpecialToken"]
		sequence, isSequence := p["Sequence"]
		switch {
		case len(p) != 1 || isSpecial == isSequence:
			o.fail(".single[%d]: want one SpecialToken or Sequence", i)
		case isSequence && sequence.ID != "A":
			o.fail(".single[%d]: sequence %q, want A", i, sequence.ID)
		case isSequence:
			sequences++
		default:
			s, ok := specials[special.ID]
			if !ok {
				o.fail(".single[%d]: special token %q is not in special_tokens", i, special.ID)
			}
			for _, id := range s.IDs {
				if _, known := t.IDToToken(id); !known {
					o.fail(".special_tokens: %q has id %d, which is not in the vocabulary", special.ID, id)
				}
			}
			if sequences == 0 {
				out.before = append(out.before, s.IDs...)
			} else {
				out.after = append(out.after, s.IDs...)
			}
		}
	}
	if o.err == nil && sequences != 1 {
		o.fail(".single: sequence A occurs %d times, want once", sequences)
	}
	return out
}

// BOS returns the token that begins a sequence: the first one that the
// post-processor puts before the text, else the bos_token of
// tokenizer_config.json, else BOSToken if that is a special token.
func (t *Tokenizer) BOS() (id uint32, ok bool) {
	if len(t.template.before) > 0 {
		return t.template.before[0], true
	}
	return t.named(t.config.bos, BOSToken)
}

// EOS returns the eos_token of tokenizer_config.json, else EOSToken if that is
// a special token, else the first eos_token_id of config.json. Generation stops
// at any of StopTokens.
func (t *Tokenizer) EOS() (id uint32, ok bool) {
	if id, ok = t.named(t.config.eos, EOSToken); !ok && len(t.eos) > 0 {
		id = t.eos[0]
		_, ok = t.IDToToken(id)
	}
	return id, ok
}

// AddsBOS reports whether Encode with addSpecial puts BOS before the text.
func (t *Tokenizer) AddsBOS() bool { return len(t.template.before) > 0 }

func (t *Tokenizer) named(name, fallback string) (uint32, bool) {
	if name != "" {
		return t.TokenToID(name)
	}
	id, ok := t.added.ids[fallback]
	return id, ok && t.IsSpecial(id)
}
