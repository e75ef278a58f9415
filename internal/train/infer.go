package train

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"concord/bucket"
	"concord/internal/config"
	"concord/internal/device"
	"concord/internal/model"
	"concord/tensor"
)

// inference is a model on a device without anything for training.
type inference struct {
	config model.Config
	engine *tensor.Engine
	store  *bucket.Store
	model  model.Model
}

// openInference loads the model in dir for batches of rows × seqLen tokens.
func openInference(dir string, d config.Device, rows, seqLen int, warn io.Writer) (*inference, error) {
	c, err := model.ReadConfig(dir)
	if err != nil {
		return nil, DataError(err)
	}
	x := &inference{config: c}
	if x.engine, err = device.Open(d, nil, warn); err != nil {
		return nil, err
	}
	if err := x.load(dir, rows, seqLen); err != nil {
		x.Close()
		return nil, err
	}
	return x, nil
}

func (x *inference) load(dir string, rows, seqLen int) (err error) {
	if x.store, err = device.NewStore(x.engine, device.Params(x.config), "layer", 1); err != nil {
		return err
	}
	x.model, err = model.New(x.engine, x.config, x.store, model.Dims{Rows: rows, SeqLen: seqLen, LogitsChunk: device.LogitsChunk(x.engine.Dev, x.config.Vocab), ForwardOnly: true})
	if err != nil {
		if x.engine.Dev.Err() != nil {
			return DeviceError(err)
		}
		return DataError(err)
	}
	return device.LoadWeights(x.engine, x.config, x.store, dir)
}

// Close frees the device.
func (x *inference) Close() {
	if x.model != nil {
		x.model.Release()
	}
	if x.store != nil {
		x.store.Release()
	}
	x.engine.Dev.Close()
}

// Score returns, for each sequence of n token ids, the n−1 negative
// log-likelihoods in nats of ids[1:] given what stands before each.
func Score(dir string, sequences [][]uint32, d config.Device, warn io.Writer) ([][]float32, error) {
	dir, err := ModelDir(dir)
	if err != nil {
		return nil, err
	}
	longest := 2
	for i, s := range sequences {
		if len(s) < 2 {
			return nil, DataError(fmt.Errorf("sequence %d has %d ids: a likelihood needs two", i+1, len(s)))
		}
		longest = max(longest, len(s))
	}
	c, err := model.ReadConfig(dir)
	if err != nil {
		return nil, DataError(err)
	}
	for i, s := range sequences {
		for _, id := range s {
			if int64(id) >= int64(c.Vocab) {
				return nil, DataError(fmt.Errorf("sequence %d: id %d is outside 0 … %d, the model's vocabulary", i+1, id, c.Vocab-1))
			}
		}
	}
	x, err := openInference(dir, d, 1, longest, warn)
	if err != nil {
		return nil, err
	}
	defer x.Close()
	out := make([][]float32, len(sequences))
	for i, s := range sequences {
		if out[i], err = x.model.Score(s); err != nil {
			if x.engine.Dev.Err() != nil {
				return nil, classify(err)
			}
			return nil, DataError(fmt.Errorf("sequence %d: %w", i+1, err))
		}
	}
	return out, nil
}

// Generation says what to sample.
type Generation struct {
	Prompt      string
	System      string // what the system says first, where a chat template is used
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
		return &config.Error{Where: "--temperature", Msg: fmt.Sprintf("%v is outside 0 … 100", g.Temperature)}
	case !(g.TopP > 0 && g.TopP <= 1):
		return &config.Error{Where: "--top-p", Msg: fmt.Sprintf("%v is outside 0 < p ≤ 1", g.TopP)}
	case g.MaxTokens < 1:
		return &config.Error{Where: "--max-tokens", Msg: "must be 1 or more"}
	}
	return nil
}

// Generated is what was sampled.
type Generated struct {
	Text    string   `json:"text"`
	IDs     []uint32 `json:"ids"`
	Prompt  []uint32 `json:"prompt_ids"`
	Stopped string   `json:"stopped"` // "eos", "stop", "length"
	// StopTokens are the ids at which generation ends, from all of the folder's files.
	StopTokens []uint32 `json:"stop_tokens"`
}

// Generate samples a continuation of the prompt with a key-value cache.
func Generate(dir string, g Generation, d config.Device, warn io.Writer) (*Generated, error) {
	dir, err := ModelDir(dir)
	if err != nil {
		return nil, err
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	v, err := openVoice(dir, g, warn)
	if err != nil {
		return nil, err
	}
	ids, err := v.prompt(g)
	if err != nil {
		return nil, err
	}
	x, err := openInference(dir, d, 1, 2, warn)
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
	return out, classify(err)
}

// decoder makes a key-value cache for so many tokens.
func (x *inference) decoder(tokens int) (*model.Decoder, error) {
	dec, err := x.model.NewDecoder(tokens)
	if err == nil {
		return dec, nil
	}
	if x.engine.Dev.Err() != nil {
		return nil, DeviceError(err)
	}
	return nil, DataError(fmt.Errorf("%w: a shorter prompt or a lower --max-tokens", err))
}

// generate samples what follows ids. Those of them that the cache holds already,
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

// stopWriter collects text up to the first stop text, and passes on what cannot
// be the beginning of one.
type stopWriter struct {
	stops []string
	out   io.Writer // or nil
	text  string
	sent  int
}

// write adds text and reports whether a stop text was found; text then ends
// before it.
func (w *stopWriter) write(text string) bool {
	w.text += text
	found, hold := -1, 0
	for _, stop := range w.stops {
		if i := strings.Index(w.text, stop); stop != "" && i >= 0 && (found < 0 || i < found) {
			found = i
		}
		for n := min(len(stop)-1, len(w.text)); n > hold; n-- {
			if strings.HasSuffix(w.text, stop[:n]) {
				hold = n
			}
		}
	}
	if found >= 0 {
		w.text = w.text[:found]
		return true
	}
	w.send(len(w.text) - hold)
	return false
}

func (w *stopWriter) send(end int) {
	if w.out != nil && end > w.sent {
		fmt.Fprint(w.out, w.text[w.sent:end])
		w.sent = end
	}
}

// close passes on the rest and returns the whole text.
func (w *stopWriter) close() string {
	w.send(len(w.text))
	return w.text
}

// sample draws a token: the likeliest at temperature 0, else from the smallest
// set of tokens with probability top-p. The randomness is a function of (seed,
// step) alone. Ties go to the lower id.
func sample(logits []float32, g Generation, step int) uint32 {
	order := make([]int, len(logits))
	for i := range order {
		order[i] = i
	}
	if g.Temperature == 0 {
		return uint32(slices.MaxFunc(order, func(a, b int) int {
			return cmp.Or(cmp.Compare(logits[a], logits[b]), cmp.Compare(b, a))
		}))
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(logits[b], logits[a]), cmp.Compare(a, b))
	})
	p := make([]float64, len(order))
	sum := 0.0
	for i, id := range order {
		p[i] = math.Exp((float64(logits[id]) - float64(logits[order[0]])) / g.Temperature)
		sum += p[i]
	}
	kept, n := 0.0, 0
	for n < len(p) && (n == 0 || kept < g.TopP*sum) {
		kept += p[n]
		n++
	}
	u := uniform(g.Seed, uint64(step)) * kept
	for i := range n {
		if u -= p[i]; u < 0 {
			return uint32(order[i])
		}
	}
	return uint32(order[n-1])
}

// uniform is the step-th number in [0, 1) of the sequence keyed by seed
// (splitmix64: Steele, Lea, Flood, OOPSLA 2014).
func uniform(seed, step uint64) float64 {
	z := seed + (step+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}
