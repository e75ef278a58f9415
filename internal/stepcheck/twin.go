package stepcheck

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"concord/internal/data"
	"concord/internal/model"
	"concord/internal/ref"
	"concord/moo"
)

// onCPU makes the step in float64. groups are the parameters that are resolved together,
// which the layout decides and no kernel.
func (p *problem) onCPU(groups []group) (result, error) {
	d, parts, err := p.decoder()
	if err != nil {
		return result{}, err
	}
	return p.stepOf(d, parts, groups)
}

// decoder is the model in float64, and the part that each parameter plays in it.
func (p *problem) decoder() (*ref.Decoder, map[string]string, error) {
	c := p.arch
	d := &ref.Decoder{Hidden: c.Hidden, FFN: c.FFN, Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim,
		Vocab: c.Vocab, Eps: c.RMSNormEps, InvFreq: [][]float64{p.frequencies()}, Params: map[string][]float64{}}
	parts := map[string]string{}
	for role, name := range model.Parts(c) {
		d.Params[role], parts[name] = float64s(p.weights[name]), role
	}
	if len(parts) != len(p.weights) {
		return nil, nil, fmt.Errorf("the CPU's model has %d of the %d parameters", len(parts), len(p.weights))
	}
	return d, parts, nil
}

// stepOf makes the step of d.
func (p *problem) stepOf(d *ref.Decoder, parts map[string]string, groups []group) (result, error) {
	b := p.sampler.Batch(0)
	batch := refBatch(b)
	losses := ref.MeanLosses(d.Loss(batch), batch.Labels, b.Starts)
	r := result{groups: groups}
	r.addLosses(losses)
	method, err := moo.New(p.method, moo.ForTraining(p.method, nil))
	if err != nil {
		return r, err
	}
	gradients, combined, norm2 := d.Backward(batch, b.Starts), map[string][]float64{}, 0.0
	for i, g := range groups {
		gram := gramOf(g, parts, gradients)
		solved, err := moo.Solve(method, moo.Input{G: gram, Losses: losses, Seed: p.seed, Bucket: i})
		if err != nil {
			return r, err
		}
		r.parts[1] = append(r.parts[1], part{g.name, float32s(matrix(gram))})
		w := mat.NewVecDense(len(langs), solved.Weights)
		norm2 += mat.Inner(w, gram, w)
		for _, name := range g.params {
			sum := make([]float64, len(p.weights[name]))
			for m, weight := range solved.Weights {
				for j, v := range gradients[m][parts[name]] {
					sum[j] += weight * v
				}
			}
			combined[name] = sum
		}
	}
	if r.clip = 1; math.Sqrt(norm2) > p.adam.Clip {
		r.clip = p.adam.Clip / math.Sqrt(norm2)
	}
	return r, p.update(&r, combined)
}

// update is AdamW's first, of all parameters.
func (p *problem) update(r *result, gradients map[string][]float64) error {
	vector := map[string]bool{}
	for _, s := range model.ParamSpecs(p.arch) {
		vector[s.Name] = s.Kind.Vector()
	}
	for _, g := range r.groups {
		for _, name := range g.params {
			before, n := p.weights[name], len(p.weights[name])
			after, decay := slices.Clone(before), p.adam.WeightDecay
			if vector[name] {
				decay = 0
			}
			gradient := float32s(gradients[name])
			ref.AdamW(after, make([]float32, n), make([]float32, n), gradient, p.lr, p.adam.Beta1, p.adam.Beta2, p.adam.Eps, decay, 1, r.clip)
			r.add(name, gradient, before, after)
		}
	}
	if made := len(r.parts[2]); made != len(p.weights) {
		return fmt.Errorf("%d of %d parameters are in a bucket: %v", made, len(p.weights), slices.Sorted(maps.Keys(p.weights)))
	}
	return nil
}

// gramOf is the inner products of the languages' gradients of a group.
func gramOf(g group, parts map[string]string, gradients []map[string][]float64) *mat.SymDense {
	out := mat.NewSymDense(len(gradients), nil)
	for i := range gradients {
		for j := range i + 1 {
			sum := 0.0
			for _, name := range g.params {
				other := gradients[j][parts[name]]
				for k, v := range gradients[i][parts[name]] {
					sum += v * other[k]
				}
			}
			out.SetSym(i, j, sum)
		}
	}
	return out
}

// refBatch is b for the decoder: each language's loss is the mean over its tokens.
func refBatch(b *data.Batch) ref.DecoderBatch {
	var out ref.DecoderBatch
	for m := range len(b.Starts) - 1 {
		for i := b.Starts[m]; i < b.Starts[m+1]; i++ {
			label := -1
			if b.Labels[i] != data.Ignore {
				label = int(b.Labels[i])
			}
			out.IDs, out.Labels = append(out.IDs, int(b.IDs[i])), append(out.Labels, label)
			out.Pos, out.DocStart = append(out.Pos, int(b.Pos[i])), append(out.DocStart, int(b.DocStart[i]))
			out.Scale = append(out.Scale, 1/float64(b.Supervised[m]))
		}
	}
	return out
}

func matrix(g *mat.SymDense) []float64 {
	n := g.SymmetricDim()
	out := make([]float64, 0, n*n)
	for i := range n {
		for j := range n {
			out = append(out, g.At(i, j))
		}
	}
	return out
}

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

func float64s(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
