package model

import (
	"fmt"
	"path/filepath"
	"slices"

	"concord/internal/param"
	"concord/internal/peft"
	"concord/internal/safetensors"
	"concord/tensor"
)

// lowRankTable is a low-rank adapter of the embedding, as PEFT's of nn.Embedding:
//
//	x_i += s A_id Bᵀ,   A (V, r), one row a token of the vocabulary, B (C, r)
//	dA_m = s Σ of (dx_i B) over the tokens i of objective m, by id;   dB_m = s dx_mᵀ A_ids
//
// A begins with zeros. Inputs are ids, and dropout leaves out none. Where the head is
// the embedding, both see E + s A Bᵀ: the head's adapter has the same two parameters, its
// A being Bᵀ and its B this A (PEFT's ensure_weight_tying).
type lowRankTable struct {
	rows, b *parameter
	scale   float64
	space   *adapterSpace
}

func (l *lowRankTable) params() []*parameter { return []*parameter{l.rows, l.b} } // as a tied head asks for them

// inner is s A_ids.
func (l *lowRankTable) inner(e *tensor.Engine, ids tensor.Tensor, n int) tensor.Tensor {
	h := l.ranks(l.space.h, n)
	e.Embedding(h, l.rows.t, ids)
	l.space.scaled(e, h, l.scale)
	return h
}

func (l *lowRankTable) ranks(t tensor.Tensor, n int) tensor.Tensor {
	return tensor.Tensor{Buf: t.Buf, R: n, C: l.rows.C, LD: tensor.F32.LD(l.rows.C)}
}

func (l *lowRankTable) forward(e *tensor.Engine, x, ids tensor.Tensor) {
	e.MatMul(x, l.inner(e, ids, x.R), l.b.t, tensor.NT, true)
}

// backward reads all weights before it asks for a gradient, as they may be updated from then
// on.
func (l *lowRankTable) backward(p backPass, dx tensor.Tensor) {
	h, u := l.inner(p.e, p.b.ids, dx.R), l.ranks(l.space.u, dx.R)
	p.e.MatMul(u, dx, l.b.t, tensor.NN, false)
	l.space.scaled(p.e, u, l.scale)
	p.use(l.rows, u, func(u tensor.Tensor, to tensor.Target) {
		p.e.EmbeddingBackward(to.Rows, u, p.b.tokens.of(to.Segments.M()), to.Accumulate)
	})
	p.linear(l.b, dx, h)
}

// merge adds s A Bᵀ to w, the table.
func (l *lowRankTable) merge(w []float32, values map[string][]float32) {
	a, b, rank, width := values[l.rows.Name], values[l.b.Name], l.rows.C, l.b.R
	for i := range w {
		sum, row, column := float64(w[i]), a[i/width*rank:][:rank], b[i%width*rank:][:rank]
		for k := range rank {
			sum += l.scale * float64(row[k]) * float64(column[k])
		}
		w[i] = float32(sum)
	}
}

// tokenAdapters declares the adapters of the embedding and of the head, where the
// configuration names them.
func (d declarer) tokenAdapters(n *network) {
	c := d.c.Adapter
	if c == nil || c.All() || len(c.Layers) > 0 {
		return
	}
	table, head := n.embedding.table, d.family.names.head
	if c.Adapts(table.module()) || n.head.tied && c.Adapts(head) {
		n.embedding.adapter = d.tableAdapter(table, n.head.tied)
		d.space.table = n.embedding.adapter
	}
	switch t := n.embedding.adapter; {
	case n.head.tied && t != nil:
		n.head.adapter = &lowRank{a: t.b, b: t.rows, flipped: true, first: true, last: true, scale: t.scale, space: d.space,
			masked: head + peft.A}
		d.space.all = append(d.space.all, n.head.adapter)
	case !n.head.tied && c.Adapts(head):
		d.fusedA = map[string]*lowRank{}
		n.head.adapter = d.adapter(n.head.weight).low()
		n.head.adapter.b.Kind = param.Head
	}
}

func (d declarer) tableAdapter(table *parameter, tied bool) *lowRankTable {
	c, module := d.c.Adapter, table.module()
	rank, uses := c.RankOf(module), 1
	if tied {
		uses = 2
	}
	declare := func(end string, kind param.Kind, rows int) *parameter {
		return &parameter{Spec: Spec{Name: module + end, Kind: kind, Layer: d.layer, R: rows, C: rank, Uses: uses}, file: module + end,
			adapter: true}
	}
	l := &lowRankTable{rows: declare(peft.TableA, param.Embedding, table.R), b: declare(peft.TableB, param.Linear, table.C),
		scale: c.ScaleOf(module), space: d.space}
	l.rows.transposed, l.b.normal = true, true
	return l
}

// tokenModules are the modules of embedding and head that an adapter may name.
func (c Config) tokenModules() []string {
	return []string{newNetwork(Config.plain(c)).embedding.table.module(), c.family().names.head}
}

// plain is c without an adapter.
func (c Config) plain() Config {
	c.Adapter = nil
	return c
}

// adaptsTokens says that c's adapter names the embedding or the head.
func (c Config) adaptsTokens() bool {
	return c.Adapter != nil && !c.Adapter.All() && slices.ContainsFunc(c.tokenModules(), c.Adapter.Adapts)
}

// tiedCopies are the tensors of a head that is the adapted embedding: to PEFT it is a module of
// its own, with both matrices once more.
func tiedCopies(c Config, dtype safetensors.DType, read func(name string) ([]float32, error)) []safetensors.Entry {
	n := newNetwork(c)
	t := n.embedding.adapter
	if t == nil || !n.head.tied {
		return nil
	}
	head := c.family().names.head
	a := stored{name: head + peft.A, parts: []*parameter{{Spec: t.b.Spec, transposed: true}}}
	b := stored{name: head + peft.B, parts: []*parameter{{Spec: t.rows.Spec}}}
	return []safetensors.Entry{a.entry(dtype, read), b.entry(dtype, read)}
}

// tokenCopies takes copies out of left, tensors that repeat one of the adapter's or of the
// base model's: those of a tied head, and the base's own embedding and head. They must be
// alike.
func tokenCopies(r *safetensors.Reader, dir string, c Config, values map[string][]float32, left []string) ([]string, error) {
	if !c.adaptsTokens() {
		return left, nil
	}
	copies := map[string]func() ([]float32, error){}
	for _, e := range tiedCopies(c, safetensors.F32, func(name string) ([]float32, error) { return values[name], nil }) {
		copies[peft.Tensor(e.Name)] = e.Data
	}
	for i, m := range c.tokenModules() {
		copies[peft.Tensor(m+peft.BaseLayer)] = func() ([]float32, error) {
			return baseMatrix(dir, c, TokenMatrices(c)[i])
		}
	}
	var rest []string
	for _, name := range left {
		want := copies[name]
		if want == nil {
			rest = append(rest, name)
			continue
		}
		w, err := want()
		if err != nil {
			return nil, fmt.Errorf("model: %s: %s: %w", dir, name, err)
		}
		got, err := r.ReadFloat32(name)
		if err != nil {
			return nil, fmt.Errorf("model: %w", err)
		}
		if !slices.Equal(got, w) {
			return nil, fmt.Errorf("model: %s: %s differs from the matrix that it repeats, and one of the two would be lost", dir, name)
		}
	}
	return rest, nil
}

// baseMatrix reads a parameter of the base model that the adapter in dir names.
func baseMatrix(dir string, c Config, name string) ([]float32, error) {
	base := c.Adapter.Base
	if !filepath.IsAbs(base) {
		base = filepath.Join(dir, base)
	}
	r, err := safetensors.Open(base)
	if err != nil {
		return nil, fmt.Errorf("it repeats a matrix of the base model, with which it cannot be compared: %w\n  "+
			"fix: save the adapter with save_embedding_layers=False", err)
	}
	defer r.Close()
	x, err := NewReader(r, base, c.plain())
	if err != nil {
		return nil, err
	}
	return x.Values(name)
}
