package model

import "fmt"

// Parts is the name of the parameter that plays each part of c's model, by the part as
// internal/ref's Decoder calls it: its CPU twin for tests and the doctor.
func Parts(c Config) map[string]string {
	n := newNetwork(c)
	out := map[string]string{"embed": n.embedding.table.Name}
	put := func(part string, ps []*parameter) {
		for i, p := range ps {
			if i > 0 {
				part += ".bias"
			}
			out[part] = p.Name
		}
	}
	linear := func(part string, l linear) {
		put(part, linearMap(l))
		if l.adapter == nil {
			return
		}
		a := l.adapter.low()
		out[part+".lora_A"], out[part+".lora_B"] = a.a.Name, a.b.Name
		if d, ok := l.adapter.(*dora); ok {
			out[part+".magnitude"] = d.magnitude.Name
		}
	}
	if n.embedding.positions != nil {
		out["positions"] = n.embedding.positions.Name
	}
	if !n.head.tied {
		put("head", []*parameter{n.head.weight})
		if a := n.head.adapter; a != nil {
			out["head.lora_A"], out["head.lora_B"] = a.a.Name, a.b.Name
		}
	}
	if t := n.embedding.adapter; t != nil {
		out["embed.lora_A"], out["embed.lora_B"] = t.rows.Name, t.b.Name
	}
	put("norm", n.norm.params())
	for i, b := range n.blocks {
		at := func(name string) string { return fmt.Sprintf("%d.%s", i, name) }
		put(at("attention_norm"), b.attentionNorm.params())
		for k, name := range []string{"q", "k", "v"} {
			linear(at(name), b.attention.in[k])
		}
		linear(at("o"), b.attention.out)
		if b.attention.qNorm != nil {
			put(at("q_norm"), b.attention.qNorm.params())
			put(at("k_norm"), b.attention.kNorm.params())
		}
		put(at("mlp_norm"), b.mlpNorm.params())
		if b.mlpPost != nil {
			put(at("attention_post"), b.attentionPost.params())
			put(at("mlp_post"), b.mlpPost.params())
		}
		switch l := b.mlp.(type) {
		case *gatedMLP:
			linear(at("gate"), l.in[0])
			linear(at("up"), l.in[1])
			linear(at("down"), l.out)
		case *plainMLP:
			linear(at("up"), l.in)
			linear(at("down"), l.out)
		}
	}
	return out
}

// linearMap are l's own weight and bias.
func linearMap(l linear) []*parameter {
	l.adapter = nil
	return l.params()
}
