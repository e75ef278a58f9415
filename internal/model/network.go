package model

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"concord/internal/param"
	"concord/tensor"
)

// network is a model's layers, composed by its configuration. Nothing in it
// depends on a batch; its parameters lie nowhere until bind.
type network struct {
	embedding embedding
	blocks    []*block
	norm      norm
	head      head
	adapters  *adapterSpace // nil without adapters
}

// params lists the parameters in the order in which the backward pass completes
// their gradients.
func (n *network) params() []*parameter {
	out := append(n.head.params(), n.norm.params()...)
	for i := len(n.blocks) - 1; i >= 0; i-- {
		out = append(out, n.blocks[i].params()...)
	}
	return append(out, n.embedding.params()...)
}

// newNetwork composes c's network.
func newNetwork(c Config) *network { return compose(c, c.family()) }

// compose is newNetwork with the names of family's files.
func compose(c Config, family family) *network {
	d := declarer{c: c, family: family, layer: param.NoLayer}
	names := d.family.names
	n := &network{embedding: embedding{table: d.matrix(names.embedding, param.Embedding, c.Vocab, c.Hidden)}, norm: d.norm(names.norm)}
	if c.Adapter != nil {
		n.adapters = &adapterSpace{config: c.Adapter, of: map[string]adapter{}}
		d.space = n.adapters
	}
	if d.family.positions {
		n.embedding.positions = d.matrix(names.positions, param.Embedding, c.MaxPositions, c.Hidden)
	}
	if d.family.scaledEmbed {
		n.embedding.factor = float32(math.Sqrt(float64(c.Hidden)))
	}
	n.head = head{weight: n.embedding.table, tied: c.TieWordEmbeddings, softCap: float32(c.FinalSoftCap)}
	if n.head.tied {
		n.embedding.table.Uses = 2
	} else {
		n.head.weight = d.matrix(names.head, param.Head, c.Vocab, c.Hidden)
	}
	for i := range c.Layers {
		d.layer, d.prefix, d.fusedA = i, fmt.Sprintf(names.layer, i), map[string]*lowRank{}
		n.blocks = append(n.blocks, d.block())
	}
	d.layer, d.prefix = param.NoLayer, ""
	d.tokenAdapters(n)
	n.freezeBase(c)
	return n
}

// declarer makes the layers of one decoder layer, or those outside.
type declarer struct {
	c      Config
	family family
	layer  int
	prefix string // of the layer's names
	space  *adapterSpace
	fusedA map[string]*lowRank // the last adapter of each module of the layer
}

func (d declarer) block() *block {
	names := d.family.names
	l := &block{
		attentionNorm: d.norm(names.attentionNorm),
		attention:     d.attention(),
		mlpNorm:       d.norm(names.mlpNorm),
		mlp:           d.mlp(),
	}
	if d.family.postNorms {
		l.attentionPost, l.mlpPost = d.norm(names.attentionPost), d.norm(names.mlpPost)
	}
	return l
}

func (d declarer) mlp() mlp {
	c, names := d.c, d.family.names
	bias := c.MLPBias || d.family.biases == allBiases
	in := func(name string) linear { return d.linear(name, c.FFN, c.Hidden, bias) }
	down := d.linear(names.down, c.Hidden, c.FFN, bias)
	if d.family.plain {
		return &plainMLP{in: in(names.up), out: down}
	}
	l := &gatedMLP{in: projections{in(names.gate), in(names.up)}, out: down, act: silu{}} // declared in the order of use
	if d.family.gelu {
		l.act = gelu{}
	}
	return l
}

func (d declarer) attention() attention {
	c, names := d.c, d.family.names
	hd, kvd := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	all := c.AttentionBias || d.family.biases == allBiases
	bias := all || d.family.biases == qkvBiases
	a := attention{
		in:    projections{d.linear(names.q, hd, c.Hidden, bias), d.linear(names.k, kvd, c.Hidden, bias), d.linear(names.v, kvd, c.Hidden, bias)},
		out:   d.linear(names.o, c.Hidden, hd, all),
		shape: c.attention(), window: c.window(d.layer),
	}
	if d.family.localRope && a.window == 0 {
		a.rope = 1
	}
	if d.family.qkNorm {
		a.qNorm, a.kNorm = d.rmsNorm(names.qNorm, c.HeadDim, c.Heads), d.rmsNorm(names.kNorm, c.HeadDim, c.KVHeads)
	}
	return a
}

func (d declarer) norm(name string) norm {
	if !d.family.layerNorm {
		return d.rmsNorm(name, d.c.Hidden, 1)
	}
	n := &layerNorm{weight: d.declare(name, ".weight", param.Norm, 1, d.c.Hidden),
		bias: d.declare(name, ".bias", param.Bias, 1, d.c.Hidden), eps: float32(d.c.RMSNormEps)}
	n.weight.initial = 1
	return n
}

func (d declarer) rmsNorm(name string, width, heads int) *rmsNorm {
	p := d.declare(name, ".weight", param.Norm, 1, width)
	p.PerToken = heads
	n := &rmsNorm{weight: p, eps: float32(d.c.RMSNormEps), heads: heads}
	if d.family.plusOne {
		n.offset = 1
	}
	p.initial = 1 - n.offset
	return n
}

func (d declarer) linear(name string, out, in int, bias bool) linear {
	l := linear{weight: d.matrix(name, param.Linear, out, in)}
	l.weight.transposed = d.family.conv1D
	if bias {
		l.bias = d.declare(name, ".bias", param.Bias, 1, out)
	}
	l.adapter = d.adapter(l.weight)
	return l
}

func (d declarer) matrix(name string, kind param.Kind, r, c int) *parameter {
	return d.declare(name, ".weight", kind, r, c)
}

func (d declarer) declare(name, suffix string, kind param.Kind, r, c int) *parameter {
	file := name
	if other, ok := d.family.fused[name]; ok {
		file = other
	}
	return &parameter{Spec: Spec{Name: d.prefix + name + suffix, Kind: kind, Layer: d.layer, R: r, C: c, Uses: 1},
		file: d.prefix + file + suffix}
}

// attention is the model's attention geometry.
func (c Config) attention() tensor.AttentionShape {
	width := c.QueryScalar
	if width == 0 {
		width = float64(c.HeadDim)
	}
	return tensor.AttentionShape{Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
		Scale: float32(1 / math.Sqrt(width)), SoftCap: float32(c.AttentionSoftCap)}
}

// window is how many tokens layer i sees, 0 = all.
func (c Config) window(i int) int {
	if i < len(c.Windows) {
		return c.Windows[i]
	}
	return 0
}

// windows are the different ones among the layers', ascending.
func (c Config) windows() []int {
	seen := map[int]bool{}
	for i := range c.Layers {
		seen[c.window(i)] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// rope is the rotary embedding of some layers.
type rope struct {
	Theta   float64
	Scaling tensor.RoPEScaling
}

// ropes are the model's rotary embeddings; attention.rope is an index of them.
// Where layers that slide have one of their own, it is the first.
func (c Config) ropes() []rope {
	if c.family().positions {
		return nil
	}
	if c.family().localRope {
		return []rope{{Theta: c.LocalRopeTheta}, {c.RopeTheta, c.RopeScaling}}
	}
	return []rope{{c.RopeTheta, c.RopeScaling}}
}
