package ref

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
)

// decoders are small ones with odd sizes on purpose, two layers and grouped
// heads: every difference between the families comes up in one of them.
var decoders = map[string]func(*Decoder){
	"tied":           func(d *Decoder) { delete(d.Params, "head") },
	"untied":         func(d *Decoder) {},
	"biases, window": func(d *Decoder) { biased(d, "q", "k", "v"); d.Window = []int{0, 2} },
	"all biased":     func(d *Decoder) { biased(d, "q", "k", "v", "o", "gate", "up", "down") },
	"gemma": func(d *Decoder) {
		d.NormOffset, d.EmbedFactor, d.PostNorms, d.GELU, d.Scale, d.SoftCap, d.LogitCap = 1, 2.5, true, true, 0.4, 2, 3
	},
	"gpt2": func(d *Decoder) {
		d.LayerNorm, d.Plain, d.InvFreq = true, true, nil
		biased(d, "q", "k", "v", "o", "up", "down")
		d.fill("positions", 4*5, 0, 1)
		d.fill("norm.bias", 5, 0, 1)
		for i := range d.Layers {
			d.fill(fmt.Sprintf("%d.attention_norm.bias", i), 5, 0, 1)
			d.fill(fmt.Sprintf("%d.mlp_norm.bias", i), 5, 0, 1)
		}
	},
	"yarn, partial": func(d *Decoder) { d.Turn = 1.2; d.InvFreq = [][]float64{{0.3}} },
	"qk-norm":       func(d *Decoder) { d.QKNorm = true; d.Rope = []int{1, 0}; d.Window = []int{3, 0} },
}

func biased(d *Decoder, names ...string) {
	for i := range d.Layers {
		for k, name := range names {
			at := fmt.Sprintf("%d.%s", i, name)
			d.fill(at+".bias", len(d.Params[at])/d.columns(name), 0.1*float64(k), 0.5)
		}
	}
}

// columns is the width of a linear map's input.
func (d *Decoder) columns(name string) int {
	switch name {
	case "o":
		return d.Heads * d.HeadDim
	case "down":
		return d.FFN
	}
	return d.Hidden
}

func (d *Decoder) fill(name string, n int, mean, scale float64) {
	p, state := make([]float64, n), uint64(17)
	for _, c := range name {
		state = state*31 + uint64(c)
	}
	for i := range p {
		state = state*6364136223846793005 + 1442695040888963407
		p[i] = mean + scale*(float64(state>>11)/(1<<52)-1)
	}
	d.Params[name] = p
}

func tinyDecoder(change func(*Decoder)) *Decoder {
	d := &Decoder{Hidden: 5, FFN: 7, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 4, Vocab: 9, Eps: 1e-5,
		InvFreq: [][]float64{{1, 0.3}, {0.7, 0.1}}, Params: map[string][]float64{}}
	d.fill("embed", 9*5, 0, 1)
	d.fill("head", 9*5, 0, 1)
	d.fill("norm", 5, 1, 0.5)
	for i := range 2 {
		at := func(name string) string { return fmt.Sprintf("%d.%s", i, name) }
		d.fill(at("attention_norm"), 5, 1, 0.5)
		d.fill(at("q"), 16*5, 0, 1)
		d.fill(at("k"), 8*5, 0, 1)
		d.fill(at("v"), 8*5, 0, 1)
		d.fill(at("o"), 5*16, 0, 1)
		d.fill(at("q_norm"), 4, 1, 0.5)
		d.fill(at("k_norm"), 4, 1, 0.5)
		d.fill(at("mlp_norm"), 5, 1, 0.5)
		d.fill(at("attention_post"), 5, 1, 0.5)
		d.fill(at("mlp_post"), 5, 1, 0.5)
		d.fill(at("gate"), 7*5, 0, 1)
		d.fill(at("up"), 7*5, 0, 1)
		d.fill(at("down"), 5*7, 0, 1)
	}
	change(d)
	return d
}

func tinyBatch() (DecoderBatch, []int) {
	return DecoderBatch{
		IDs:      []int{1, 4, 4, 8, 0, 2, 7, 3, 3, 5},
		Labels:   []int{4, 4, 8, -1, 2, 7, -1, 3, 5, 6},
		Pos:      []int{0, 1, 2, 3, 0, 1, 0, 1, 2, 3},
		DocStart: []int{0, 0, 0, 0, 4, 4, 6, 6, 6, 6},
		Scale:    []float64{0.5, 0.25, 1, 1, 0.5, 0.5, 1, 0.3, 0.3, 0.4},
	}, []int{0, 4, 4, 10}
}

// Every coordinate of every parameter, against central differences.
func TestDecoderBackward(t *testing.T) {
	for kind, change := range decoders {
		l := tinyDecoder(change)
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
						t.Fatalf("%s: %s[%d], segment %d: gradient %v, difference quotient %v", kind, name, i, m, g, d[m])
					}
				}
			}
		}
	}
}

// A document neither sees nor changes the other documents of its row.
func TestDecoderDocuments(t *testing.T) {
	l := tinyDecoder(decoders["tied"])
	b, _ := tinyBatch()
	whole := l.Loss(b)
	for _, doc := range [][2]int{{0, 4}, {4, 6}, {6, 10}} {
		alone := DecoderBatch{IDs: b.IDs[doc[0]:doc[1]], Labels: b.Labels[doc[0]:doc[1]],
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
