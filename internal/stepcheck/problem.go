package stepcheck

import (
	"fmt"
	"math"

	"concord/bucket"
	"concord/internal/data"
	"concord/internal/model"
	"concord/internal/objective"
	"concord/internal/optest"
	"concord/internal/optim"
	"concord/internal/step"
	"concord/tensor"
)

// problem is a step to be made: everything that it depends on.
type problem struct {
	name    string
	arch    model.Config
	weights map[string][]float32 // by parameter
	sampler *data.Sampler
	method  string
	adam    optim.Config
	lr      float64
	seed    uint64
}

const rows, seqLen = 6, 32

var langs = []string{"a", "b", "c"}

func newProblem(tied bool) *problem {
	p := &problem{name: "untied", method: "upgrad", lr: 0.02, seed: 3, weights: map[string][]float32{},
		// Eps is of the gradients' size, else the first update is little but their signs,
		// and clipping and weights would not show in it. Clip is below the gradient's norm.
		adam: optim.Config{Beta1: 0.9, Beta2: 0.99, Eps: 1e-3, WeightDecay: 0.1, Clip: 0.1, Seed: 3}}
	p.arch = model.Config{ModelType: "llama", Hidden: 24, FFN: 36, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 8, Vocab: 61,
		MaxPositions: 64, RMSNormEps: 1e-5, RopeTheta: 10000, InitializerRange: 0.3, TieWordEmbeddings: tied}
	if tied {
		p.name = "tied"
	}
	for i, s := range model.ParamSpecs(p.arch) {
		v, offset, scale := optest.Random(s.R*s.C, uint64(i+1)), float32(0), float32(0.5)
		if s.Kind.Vector() {
			offset = 1 // the norms' usual value
		}
		for j := range v {
			v[j] = offset + scale*v[j]
		}
		p.weights[s.Name] = v
	}
	p.sampler = newSampler(p.arch.Vocab, p.seed)
	return p
}

// newSampler has three languages of documents of many lengths, some without a loss on
// their first tokens.
func newSampler(vocab int, seed uint64) *data.Sampler {
	var sets []*data.Set
	for m, lang := range langs {
		var list examples
		for i, n := range []int{31, 9, 20, 14, 16, 5, 24, 7, 28, 3, 12, 18} {
			x, noise := data.Example{Bytes: n}, optest.Random(n, uint64(100*m+i))
			for t, r := range noise {
				id := int(float64(vocab) * float64(r+1) / 2)
				x.IDs, x.Mask = append(x.IDs, uint32(min(id, vocab-1))), append(x.Mask, t > i%3)
			}
			list = append(list, x)
		}
		sets = append(sets, &data.Set{Lang: lang, Train: list})
	}
	s, err := data.NewSampler(sets, data.SamplerOptions{Rows: rows, SeqLen: seqLen, Temperature: math.Inf(1), Seed: seed})
	if err != nil {
		panic(fmt.Sprintf("stepcheck: %v", err)) // its options are constants
	}
	return s
}

// examples are documents in memory.
type examples []data.Example

func (e examples) Len() int                       { return len(e) }
func (e examples) Positions(i int) int            { return e[i].Positions() }
func (e examples) At(i int) (data.Example, error) { return e[i], nil }

// settings are those of a run that would make the step.
func (p *problem) settings() step.Settings {
	return step.Settings{Rows: rows, SeqLen: seqLen, Accumulate: 1, LogitsChunk: 64, Scope: bucket.ByLayer,
		Objective: objective.Options{Tokens: []float64{1, 1, 1}, Seed: p.seed, BatchTokens: rows * seqLen, Method: p.method, Every: 1},
		Frozen:    func(model.Spec) bool { return false }, Optim: p.adam,
		Schedule: optim.Schedule{Shape: optim.Constant, LR: p.lr, Total: 1}}
}

// frequencies are the rotary embedding's, of a head's pairs.
func (p *problem) frequencies() []float64 {
	f, _ := tensor.RoPEScaling{}.Frequencies(p.arch.HeadDim, p.arch.RopeTheta)
	return f
}
