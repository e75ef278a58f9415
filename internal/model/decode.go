package model

import (
	"errors"
	"fmt"

	"concord/gpu"
	"concord/tensor"
)

// prefillTokens is how many tokens a Decoder processes at once.
const prefillTokens = 128

// ErrContextFull says that a Decoder has no room for more tokens.
var ErrContextFull = errors.New("the context is full")

// Decoder runs a model token by token with a key-value cache. It shares the
// model's weights, not its activations.
type Decoder struct {
	m *transformer
	memory
	max, n     int // capacity and length of the context
	chunk      int
	ropes      []ropeTables
	keys, vals []tensor.Tensor // per layer (max, KV·D)
	a          *activations
	s          *scratch
	x          [2]tensor.Tensor
	ids, pos   tensor.Tensor         // (1, chunk)
	starts     map[int]tensor.Tensor // by window, (1, chunk): the first key that a token sees
	factors    tensor.Tensor         // (1, chunk) of the embedding
	last, norm tensor.Tensor         // (1, C)
	stats      stats                 // (1, 1)
	logits     tensor.Tensor         // (1, V)
}

func (m *transformer) NewDecoder(maxLen int) (*Decoder, error) {
	c := m.config
	if maxLen < 1 || maxLen > c.MaxPositions {
		return nil, fmt.Errorf("model: a context of %d tokens: max_position_embeddings is %d", maxLen, c.MaxPositions)
	}
	d := &Decoder{m: m, memory: memory{e: m.e}, max: maxLen, chunk: min(maxLen, prefillTokens), starts: map[int]tensor.Tensor{}}
	d.ropes = newRopes(&d.memory, c, maxLen)
	for range c.Layers {
		d.keys = append(d.keys, d.new(gpu.RoleActivations, "key cache", maxLen, c.KVHeads*c.HeadDim))
		d.vals = append(d.vals, d.new(gpu.RoleActivations, "value cache", maxLen, c.KVHeads*c.HeadDim))
	}
	d.a, d.s = newActivations(&d.memory, c, d.chunk), newScratch(&d.memory, c, d.chunk)
	for i := range d.x {
		d.x[i] = d.new(gpu.RoleActivations, "residual", d.chunk, c.Hidden)
	}
	d.ids, d.pos = d.new(gpu.RoleData, "ids", 1, d.chunk), d.new(gpu.RoleData, "pos", 1, d.chunk)
	for _, w := range c.windows() {
		d.starts[w] = d.new(gpu.RoleData, "first keys", 1, d.chunk)
	}
	d.factors = m.embedding.newFactors(&d.memory, d.chunk)
	d.last, d.norm = d.new(gpu.RoleScratch, "last", 1, c.Hidden), d.new(gpu.RoleScratch, "last norm", 1, c.Hidden)
	d.stats, d.logits = newStats(&d.memory, gpu.RoleScratch, c, 1), d.new(gpu.RoleScratch, "logits", 1, c.Vocab)
	if err := m.e.Dev.Err(); err != nil {
		d.Release()
		return nil, fmt.Errorf("model: key-value cache for %d tokens: %w", maxLen, err)
	}
	return d, nil
}

// Release frees the cache.
func (d *Decoder) Release() { d.release() }

// Len is the number of tokens in the context.
func (d *Decoder) Len() int { return d.n }

// Truncate forgets all but the first n tokens.
func (d *Decoder) Truncate(n int) { d.n = max(0, min(n, d.n)) }

// Append adds tokens to the context, a prompt or one generated token, waits and
// returns the logits after the last of them: those that the next token is drawn from.
func (d *Decoder) Append(ids ...uint32) ([]float32, error) {
	if len(ids) == 0 {
		return nil, errors.New("model: decode: no tokens: a prompt needs at least one")
	}
	if d.n+len(ids) > d.max {
		return nil, fmt.Errorf("model: decode: %d tokens and %d more, room for %d: %w", d.n, len(ids), d.max, ErrContextFull)
	}
	for _, id := range ids {
		if int(id) >= d.m.config.Vocab {
			return nil, fmt.Errorf("model: decode: id %d, the vocabulary is %d: tokenizer and model do not belong together", id, d.m.config.Vocab)
		}
	}
	if d.n == 0 {
		d.m.adapters.prepare(d.e)
	}
	var x tensor.Tensor
	for len(ids) > 0 {
		n := min(len(ids), d.chunk)
		x = d.run(ids[:n])
		ids = ids[n:]
	}
	e, rowBytes := d.e, tensor.F32.Bytes(int64(x.LD))
	row := gpu.View{Buf: x.Buf, Offset: x.Offset + int64(x.R-1)*rowBytes, Size: rowBytes}
	e.Dev.Copy(d.last.View(), row)
	d.m.norm.forward(e, d.norm, d.last, d.stats)
	out, err := d.m.head.logits(e, d.logits, d.norm)
	if err != nil {
		return nil, fmt.Errorf("model: decode: %w", err)
	}
	return out, nil
}

// cached is a layer's key-value cache with the tokens that are being appended.
type cached struct {
	keys, values tensor.Tensor // (max, KV·D)
	offset       int           // rows in use
	pos          tensor.Tensor
	starts       map[int]tensor.Tensor
	ropes        []ropeTables
	dev          *gpu.Device
}

// store copies the new rows after those in the cache and returns the cache with
// them. A copy, as kernels bind at multiples of 256 bytes only.
func (c *cached) store(k, v tensor.Tensor) (keys, values tensor.Tensor) {
	put := func(to, fresh tensor.Tensor) tensor.Tensor {
		from := fresh.View()
		c.dev.Copy(gpu.View{Buf: to.Buf, Offset: to.Offset + tensor.F32.Bytes(int64(c.offset)*int64(to.LD)), Size: from.Size}, from)
		return rows(to, c.offset+fresh.R)
	}
	return put(c.keys, k), put(c.values, v)
}

// run appends at most chunk tokens and returns their residual stream after the
// last layer.
func (d *Decoder) run(ids []uint32) tensor.Tensor {
	e, m, n := d.e, d.m, len(ids)
	pos := make([]uint32, n)
	for i := range pos {
		pos[i] = uint32(d.n + i)
	}
	devIDs := columns(d.ids, n)
	c := cached{offset: d.n, pos: columns(d.pos, n), starts: d.uploadStarts(n), ropes: d.ropes, dev: e.Dev}
	e.UploadU32(devIDs, ids)
	e.UploadU32(c.pos, pos)
	a, s, x := d.a.first(n, m.config), d.s.first(n), rows(d.x[0], n)
	m.embedding.forward(e, x, devIDs, c.pos, columns(d.factors, n), s.norm)
	for i, l := range m.blocks {
		out := rows(d.x[(i+1)%2], n)
		c.keys, c.values = d.keys[i], d.vals[i]
		l.forward(e, out, x, a, s, func(y, x tensor.Tensor) { l.attention.decode(e, y, x, &c, a) })
		x = out
	}
	d.n += n
	return x
}

// uploadStarts tells, by window, the first key that each of n new tokens sees.
func (d *Decoder) uploadStarts(n int) map[int]tensor.Tensor {
	out := map[int]tensor.Tensor{}
	for w, t := range d.starts {
		first := make([]uint32, n)
		for i := range first {
			if w > 0 {
				first[i] = uint32(max(0, d.n+i-w+1))
			}
		}
		out[w] = columns(t, n)
		d.e.UploadU32(out[w], first)
	}
	return out
}

func (m *transformer) Score(ids []uint32) ([]float32, error) {
	if len(ids) > m.dims.SeqLen {
		return nil, fmt.Errorf("model: score: %d ids, the model is made for sequences of %d", len(ids), m.dims.SeqLen)
	}
	if len(ids) < 2 {
		return nil, nil
	}
	t := Tokens{IDs: make([]uint32, m.n), Labels: make([]uint32, m.n), Pos: make([]uint32, m.n),
		DocStart: make([]uint32, m.n), DocEnd: make([]uint32, m.n)}
	copy(t.IDs, ids)
	for i := range m.n {
		t.Labels[i] = Ignore
		if i < len(ids) {
			t.Pos[i], t.DocEnd[i] = uint32(i), uint32(len(ids))
		} else { // padding: a document a token, which costs attention nothing
			t.DocStart[i], t.DocEnd[i] = uint32(i), uint32(i+1)
		}
	}
	copy(t.Labels, ids[1:])
	if m.scoring == nil {
		m.scoring = m.NewBatch()
	}
	if err := m.scoring.Upload(t); err != nil {
		return nil, err
	}
	m.EvalLoss(m.scoring)
	nll, err := m.e.Download(m.loss)
	if err != nil {
		return nil, fmt.Errorf("model: score: %w", err)
	}
	return nll[:len(ids)-1], nil
}
