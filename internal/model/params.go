package model

import (
	"fmt"

	"concord/internal/param"
)

// Spec declares one parameter, by its Hugging Face name.
type Spec = param.Spec

const (
	embedName = "model.embed_tokens.weight"
	normName  = "model.norm.weight"
	headName  = "lm_head.weight"
)

// The parameters of a layer, behind "model.layers.N." and before ".weight".
const (
	inputNorm = "input_layernorm"
	qProj     = "self_attn.q_proj"
	kProj     = "self_attn.k_proj"
	vProj     = "self_attn.v_proj"
	oProj     = "self_attn.o_proj"
	postNorm  = "post_attention_layernorm"
	gateProj  = "mlp.gate_proj"
	upProj    = "mlp.up_proj"
	downProj  = "mlp.down_proj"
)

func layerName(i int, name string) string { return fmt.Sprintf("model.layers.%d.%s.weight", i, name) }

// ParamSpecs lists the parameters in the order in which Backward completes
// their gradients: head, final norm, layers from last to first, embedding.
func ParamSpecs(c Config) []Spec {
	var out []Spec
	add := func(name string, kind param.Kind, layer, r, cols int) {
		out = append(out, Spec{Name: name, Kind: kind, Layer: layer, R: r, C: cols, Uses: 1})
	}
	if !c.TieWordEmbeddings {
		add(headName, param.Head, param.NoLayer, c.Vocab, c.Hidden)
	}
	add(normName, param.Norm, param.NoLayer, 1, c.Hidden)
	for i := c.Layers - 1; i >= 0; i-- {
		add(layerName(i, downProj), param.Linear, i, c.Hidden, c.FFN)
		add(layerName(i, gateProj), param.Linear, i, c.FFN, c.Hidden)
		add(layerName(i, upProj), param.Linear, i, c.FFN, c.Hidden)
		add(layerName(i, postNorm), param.Norm, i, 1, c.Hidden)
		add(layerName(i, oProj), param.Linear, i, c.Hidden, c.Heads*c.HeadDim)
		add(layerName(i, qProj), param.Linear, i, c.Heads*c.HeadDim, c.Hidden)
		add(layerName(i, kProj), param.Linear, i, c.KVHeads*c.HeadDim, c.Hidden)
		add(layerName(i, vProj), param.Linear, i, c.KVHeads*c.HeadDim, c.Hidden)
		add(layerName(i, inputNorm), param.Norm, i, 1, c.Hidden)
	}
	add(embedName, param.Embedding, param.NoLayer, c.Vocab, c.Hidden)
	if c.TieWordEmbeddings {
		out[len(out)-1].Uses = 2
	}
	return out
}

// Parameters is the number of trained values; tied ones count once.
func (c Config) Parameters() int64 {
	n := int64(0)
	for _, s := range ParamSpecs(c) {
		n += int64(s.R) * int64(s.C)
	}
	return n
}
