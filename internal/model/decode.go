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
	m          *Llama
	max, n     int // capacity and length of the context
	chunk      int
	rope       ropeTables
	keys, vals []tensor.Tensor // per layer (max, KV·D)
	a          activations
	s          scratch
	x          [2]tensor.Tensor
	ids, pos   tensor.Tensor // (1, chunk)
	start      tensor.Tensor // (1, chunk) zeros: one document
	last, norm tensor.Tensor // (1, C)
	rstd       tensor.Tensor // (1, 1)
	logits     tensor.Tensor // (1, V)
	owned      []tensor.Tensor
}

// NewDecoder allocates a cache for contexts of up to maxLen tokens.
func (m *Llama) NewDecoder(maxLen int) (*Decoder, error) {
	c := m.Config
	if maxLen < 1 || maxLen > c.MaxPositions {
		return nil, fmt.Errorf("model: a context of %d tokens: max_position_embeddings is %d", maxLen, c.MaxPositions)
	}
	before := len(m.owned)
	d := &Decoder{m: m, max: maxLen, chunk: min(maxLen, prefillTokens)}
	d.rope = m.newRope(maxLen)
	for range c.Layers {
		d.keys = append(d.keys, m.new(gpu.RoleActivations, "key cache", maxLen, c.KVHeads*c.HeadDim))
		d.vals = append(d.vals, m.new(gpu.RoleActivations, "value cache", maxLen, c.KVHeads*c.HeadDim))
	}
	d.a, d.s = m.newActivations(gpu.RoleActivations, d.chunk), m.newScratch(d.chunk)
	for i := range d.x {
		d.x[i] = m.new(gpu.RoleActivations, "residual", d.chunk, c.Hidden)
	}
	d.ids, d.pos = m.new(gpu.RoleData, "ids", 1, d.chunk), m.new(gpu.RoleData, "pos", 1, d.chunk)
	d.start = m.new(gpu.RoleData, "doc start", 1, d.chunk)
	d.last, d.norm = m.new(gpu.RoleScratch, "last", 1, c.Hidden), m.new(gpu.RoleScratch, "last norm", 1, c.Hidden)
	d.rstd, d.logits = m.new(gpu.RoleScratch, "rstd", 1, 1), m.new(gpu.RoleScratch, "logits", 1, c.Vocab)
	d.owned = append(d.owned, m.owned[before:]...)
	m.owned = m.owned[:before]
	if err := m.e.Dev.Err(); err != nil {
		d.Release()
		return nil, fmt.Errorf("model: key-value cache for %d tokens: %w", maxLen, err)
	}
	return d, nil
}

// Release frees the cache.
func (d *Decoder) Release() {
	for _, t := range d.owned {
		t.Buf.Release()
	}
	d.owned = nil
}

// Len is the number of tokens in the context.
func (d *Decoder) Len() int { return d.n }

// Truncate forgets all but the first n tokens.
func (d *Decoder) Truncate(n int) { d.n = max(0, min(n, d.n)) }

// Append adds tokens to the context, a prompt or one generated token, waits and
// returns the logits behind the last of them: what the next token is drawn from.
func (d *Decoder) Append(ids ...uint32) ([]float32, error) {
	if len(ids) == 0 {
		return nil, errors.New("model: decode: no tokens: a prompt needs at least one")
	}
	if d.n+len(ids) > d.max {
		return nil, fmt.Errorf("model: decode: %d tokens and %d more, room for %d: %w", d.n, len(ids), d.max, ErrContextFull)
	}
	for _, id := range ids {
		if int(id) >= d.m.Config.Vocab {
			return nil, fmt.Errorf("model: decode: id %d, the vocabulary is %d: tokenizer and model do not belong together", id, d.m.Config.Vocab)
		}
	}
	var x tensor.Tensor
	for len(ids) > 0 {
		n := min(len(ids), d.chunk)
		x = d.run(ids[:n])
		ids = ids[n:]
	}
	e, rowBytes := d.m.e, tensor.F32.Bytes(int64(x.LD))
	row := gpu.View{Buf: x.Buf, Offset: x.Offset + int64(x.R-1)*rowBytes, Size: rowBytes}
	e.Dev.Copy(d.last.View(), row)
	e.RMSNorm(d.norm, d.rstd, d.last, d.m.norm, float32(d.m.Config.RMSNormEps))
	e.MatMul(d.logits, d.norm, d.m.head, tensor.NT, false)
	out, err := e.Download(d.logits)
	if err != nil {
		return nil, fmt.Errorf("model: decode: %w", err)
	}
	return out, nil
}

// run appends at most chunk tokens and returns their residual stream behind the
// last layer.
func (d *Decoder) run(ids []uint32) tensor.Tensor {
	e, m, n := d.m.e, d.m, len(ids)
	pos := make([]uint32, n)
	for i := range pos {
		pos[i] = uint32(d.n + i)
	}
	devIDs, devPos, start := columns(d.ids, n), columns(d.pos, n), columns(d.start, n)
	e.UploadU32(devIDs, ids)
	e.UploadU32(devPos, pos)
	a, s := d.a.first(n), scratch{norm: rows(d.s.norm, n), rstd: columns(d.s.rstd, n), act: rows(d.s.act, n)}
	shape := m.Config.attention()
	shape.QueryOffset = d.n
	x := rows(d.x[0], n)
	e.Embedding(x, m.embed, devIDs)
	for i, w := range m.layers {
		out := rows(d.x[(i+1)%2], n)
		m.project(w, a, s, x, devPos, d.rope)
		d.store(d.keys[i], a.k)
		d.store(d.vals[i], a.v)
		e.Attention(a.att, a.lse, a.q, rows(d.keys[i], d.n+n), rows(d.vals[i], d.n+n), tensor.Docs{Start: start, End: start}, shape)
		m.mix(w, a, s, x, out)
		x = out
	}
	d.n += n
	return x
}

// store copies the new rows behind those in the cache. A copy, as kernels bind
// at multiples of 256 bytes only.
func (d *Decoder) store(cache, fresh tensor.Tensor) {
	v := fresh.View()
	d.m.e.Dev.Copy(gpu.View{Buf: cache.Buf, Offset: cache.Offset + tensor.F32.Bytes(int64(d.n)*int64(cache.LD)), Size: v.Size}, v)
}

// rows is the first n rows of t, columns the first n values of a vector.
func rows(t tensor.Tensor, n int) tensor.Tensor {
	t.R = n
	return t
}

func columns(t tensor.Tensor, n int) tensor.Tensor {
	t.C = n
	t.LD = (n + 3) &^ 3
	return t
}

func (a activations) first(n int) activations {
	lse := a.lse
	lse.C = n
	return activations{q: rows(a.q, n), k: rows(a.k, n), v: rows(a.v, n), att: rows(a.att, n), lse: lse,
		mid: rows(a.mid, n), gate: rows(a.gate, n), up: rows(a.up, n)}
}

// Score returns the negative log-likelihood, in nats, of each of ids[1:] given
// the ids before it: len(ids)-1 values, independent of the model's batch size.
// It overwrites what Forward saved. At most Dims.SeqLen ids.
func (m *Llama) Score(ids []uint32) ([]float32, error) {
	if len(ids) > m.Dims.SeqLen {
		return nil, fmt.Errorf("model: score: %d ids, the model is made for sequences of %d", len(ids), m.Dims.SeqLen)
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
	nll, err := m.e.Download(m.Loss)
	if err != nil {
		return nil, fmt.Errorf("model: score: %w", err)
	}
	return nll[:len(ids)-1], nil
}
