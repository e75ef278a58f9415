package ref

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
)

// tinyLlama has odd sizes on purpose, two layers and grouped heads.
func tinyLlama(tied bool) *Llama {
	l := &Llama{Hidden: 5, FFN: 7, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 4, Vocab: 9, Eps: 1e-5, Tied: tied,
		InvFreq: []float64{1, 0.3}, Params: map[string][]float64{}}
	state := uint64(17)
	fill := func(name string, n int, mean, scale float64) {
		p := make([]float64, n)
		for i := range p {
			state = state*6364136223846793005 + 1442695040888963407
			p[i] = mean + scale*(float64(state>>11)/(1<<52)-1)
		}
		l.Params[name] = p
	}
	fill("model.embed_tokens.weight", 9*5, 0, 1)
	for i := range 2 {
		layer := fmt.Sprintf("model.layers.%d.", i)
		fill(layer+"input_layernorm.weight", 5, 1, 0.5)
		fill(layer+"self_attn.q_proj.weight", 16*5, 0, 1)
		fill(layer+"self_attn.k_proj.weight", 8*5, 0, 1)
		fill(layer+"self_attn.v_proj.weight", 8*5, 0, 1)
		fill(layer+"self_attn.o_proj.weight", 5*16, 0, 1)
		fill(layer+"post_attention_layernorm.weight", 5, 1, 0.5)
		fill(layer+"mlp.gate_proj.weight", 7*5, 0, 1)
		fill(layer+"mlp.up_proj.weight", 7*5, 0, 1)
		fill(layer+"mlp.down_proj.weight", 5*7, 0, 1)
	}
	fill("model.norm.weight", 5, 1, 0.5)
	if !tied {
		fill("lm_head.weight", 9*5, 0, 1)
	}
	return l
}

func tinyBatch() (LlamaBatch, []int) {
	return LlamaBatch{
		IDs:      []int{1, 4, 4, 8, 0, 2, 7, 3, 3, 5},
		Labels:   []int{4, 4, 8, -1, 2, 7, -1, 3, 5, 6},
		Pos:      []int{0, 1, 2, 3, 0, 1, 0, 1, 2, 3},
		DocStart: []int{0, 0, 0, 0, 4, 4, 6, 6, 6, 6},
		Scale:    []float64{0.5, 0.25, 1, 1, 0.5, 0.5, 1, 0.3, 0.3, 0.4},
	}, []int{0, 4, 4, 10}
}

// Every coordinate of every parameter, against central differences.
func TestLlamaBackward(t *testing.T) {
	for _, tied := range []bool{false, true} {
		l := tinyLlama(tied)
		b, starts := tinyBatch()
		grads := l.Backward(b, starts)
		total := func(m int) float64 {
			sum := 0.0
			for i, nll := range l.Loss(b) {
				if i >= starts[m] && i < starts[m+1] {
					sum += b.Scale[i] * nll
				}
			}
			return sum
		}
		for _, name := range slices.Sorted(maps.Keys(l.Params)) {
			p := l.Params[name]
			for i := range p {
				const h = 1e-5
				v := p[i]
				var d [3]float64
				p[i] = v + h
				for m := range d {
					d[m] = total(m)
				}
				p[i] = v - h
				for m := range d {
					d[m] = (d[m] - total(m)) / (2 * h)
				}
				p[i] = v
				for m := range d {
					if g := grads[m][name][i]; math.Abs(g-d[m]) > 1e-7*(1+math.Abs(d[m])) {
						t.Fatalf("tied %v: %s[%d], segment %d: gradient %v, difference quotient %v", tied, name, i, m, g, d[m])
					}
				}
			}
		}
	}
}

// A document neither sees nor changes the other documents of its row.
func TestLlamaDocuments(t *testing.T) {
	l := tinyLlama(true)
	b, _ := tinyBatch()
	whole := l.Loss(b)
	for _, doc := range [][2]int{{0, 4}, {4, 6}, {6, 10}} {
		alone := LlamaBatch{IDs: b.IDs[doc[0]:doc[1]], Labels: b.Labels[doc[0]:doc[1]],
			Pos: b.Pos[doc[0]:doc[1]], DocStart: make([]int, doc[1]-doc[0])}
		for i, v := range l.Loss(alone) {
			if math.Abs(v-whole[doc[0]+i]) > 1e-12 {
				t.Errorf("token %d: %v alone, %v packed", doc[0]+i, v, whole[doc[0]+i])
			}
		}
	}
	mean := MeanLosses(whole, b.Labels, []int{0, 4, 4, 10})
	if want := (whole[0] + whole[1] + whole[2]) / 3; math.Abs(mean[0]-want) > 1e-12 || mean[1] != 0 {
		t.Errorf("mean losses %v", mean)
	}
}
