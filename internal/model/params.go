package model

import (
	"fmt"
	"strings"
)

// Spec is one parameter, by its Hugging Face name.
type Spec struct {
	Name string
	R, C int // (out, in) of a linear map; a norm's weight has R = 1
	// Sites is how many places of the backward pass add to its gradient: 2 for
	// embeddings tied to the head, else 1.
	Sites int
}

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
	add := func(name string, r, cols, sites int) { out = append(out, Spec{name, r, cols, sites}) }
	if !c.TieWordEmbeddings {
		add(headName, c.Vocab, c.Hidden, 1)
	}
	add(normName, 1, c.Hidden, 1)
	for i := c.Layers - 1; i >= 0; i-- {
		add(layerName(i, downProj), c.Hidden, c.FFN, 1)
		add(layerName(i, gateProj), c.FFN, c.Hidden, 1)
		add(layerName(i, upProj), c.FFN, c.Hidden, 1)
		add(layerName(i, postNorm), 1, c.Hidden, 1)
		add(layerName(i, oProj), c.Hidden, c.Heads*c.HeadDim, 1)
		add(layerName(i, qProj), c.Heads*c.HeadDim, c.Hidden, 1)
		add(layerName(i, kProj), c.KVHeads*c.HeadDim, c.Hidden, 1)
		add(layerName(i, vProj), c.KVHeads*c.HeadDim, c.Hidden, 1)
		add(layerName(i, inputNorm), 1, c.Hidden, 1)
	}
	sites := 1
	if c.TieWordEmbeddings {
		sites = 2
	}
	add(embedName, c.Vocab, c.Hidden, sites)
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

// shape is the tensor's shape in a file: norms are vectors.
func (s Spec) shape() []int {
	if strings.HasSuffix(s.Name, "norm.weight") {
		return []int{s.C}
	}
	return []int{s.R, s.C}
}
