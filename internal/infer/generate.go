package infer

import (
	"fmt"
	"io"
	"slices"

	"concord/internal/device"
	"concord/internal/fault"
	"concord/internal/model"
	"concord/internal/rundir"
)

// Generation is a text to sample.
type Generation struct {
	Prompt      string
	System      string // the system's message, first, where a chat template is used
	Raw         bool   // continue the prompt as it is, without the model's chat template
	Template    string // "" is the model's own, "chatml", or a file
	MaxTokens   int
	Temperature float64 // 0: the likeliest token
	TopP        float64 // in (0, 1]
	Seed        uint64
	Stop        []string  // texts to stop at, besides the model's stop tokens
	Stream      io.Writer // the text as it comes, or nil
}

func (g *Generation) check() error {
	switch {
	case !(g.Temperature >= 0) || g.Temperature > 100:
		return &fault.Usage{Where: "--temperature", Msg: fmt.Sprintf("%v is outside 0 … 100", g.Temperature)}
	case !(g.TopP > 0 && g.TopP <= 1):
		return &fault.Usage{Where: "--top-p", Msg: fmt.Sprintf("%v is outside 0 < p ≤ 1", g.TopP)}
	case g.MaxTokens < 1:
		return &fault.Usage{Where: "--max-tokens", Msg: "must be 1 or more"}
	}
	return nil
}

// Generated is a sampled text.
type Generated struct {
	Text    string   `json:"text"`
	IDs     []uint32 `json:"ids"`
	Prompt  []uint32 `json:"prompt_ids"`
	Stopped string   `json:"stopped"` // "eos", "stop", "length"
	// StopTokens are the ids at which generation ends, from all of the folder's files.
	StopTokens []uint32 `json:"stop_tokens"`
}

// Generate samples a continuation of the prompt with a key-value cache.
func Generate(dir string, g Generation, d device.Options) (*Generated, error) {
	dir, err := rundir.ModelDir(dir)
	if err != nil {
		return nil, err
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	v, err := openVoice(dir, g, d.Warn)
	if err != nil {
		return nil, err
	}
	ids, err := v.prompt(g)
	if err != nil {
		return nil, err
	}
	x, err := Open(dir, d, 1, 2)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	dec, err := x.decoder(len(ids) + g.MaxTokens)
	if err != nil {
		return nil, err
	}
	defer dec.Release()
	if g.Stream != nil && v.template == nil {
		fmt.Fprint(g.Stream, g.Prompt)
	}
	out, err := v.generate(dec, ids, g)
	return out, fault.Classify(err)
}

// generate samples the text after ids. Those of them that the cache holds already,
// at their places, are not computed again.
func (v *voice) generate(dec *model.Decoder, ids []uint32, g Generation) (*Generated, error) {
	logits, err := dec.Append(ids[dec.Len():]...)
	if err != nil {
		return nil, err
	}
	out := &Generated{Prompt: ids, Stopped: "length", IDs: []uint32{}, StopTokens: v.stop}
	stream := v.tok.NewStream(ids, true)
	w := &stopWriter{stops: append(slices.Clone(g.Stop), v.stopTexts...), out: g.Stream}
	for step := range g.MaxTokens {
		id := sample(logits, g, step)
		if slices.Contains(v.stop, id) {
			out.Stopped = "eos"
			break
		}
		out.IDs = append(out.IDs, id)
		if w.write(stream.Next(id)) {
			out.Stopped = "stop"
			break
		}
		if step == g.MaxTokens-1 {
			break
		}
		if logits, err = dec.Append(id); err != nil {
			return nil, err
		}
	}
	if out.Stopped != "stop" && w.write(stream.Flush()) {
		out.Stopped = "stop"
	}
	out.Text = w.close()
	return out, nil
}
