package step

import (
	"fmt"
	"iter"
	"math"

	"concord/gpu"
	"concord/internal/data"
	"concord/internal/device"
	"concord/internal/model"
)

// Part is rows of a step's batch that this machine computes, with their losses as
// they come.
type Part struct {
	*data.Batch
	Rows, Micro int    // so many micro-batches of so many rows
	Starts      []int  // tokens of its segments: one per gradient row
	Read        func() // called when the last of its losses can be read; nil: nothing

	r      *Replica
	losses []*gpu.Readback
	byTask []float64 // nil until read
}

// Whole is the whole batch b as this machine's part.
func (r *Replica) Whole(b *data.Batch) *Part {
	return &Part{Batch: b, Rows: r.Settings.Rows, Micro: r.Settings.Accumulate, Starts: r.Starts(b), r: r}
}

// NewPart is rows of a batch, in so many micro-batches of so many rows. b has as many
// rows as these together.
func (r *Replica) NewPart(b *data.Batch, rows, micro int, starts []int) *Part {
	return &Part{Batch: b, Rows: rows, Micro: micro, Starts: starts, r: r}
}

// NoPart is a part without rows.
func (r *Replica) NoPart() *Part {
	return &Part{Batch: &data.Batch{Supervised: make([]int, len(r.Langs))}, Starts: []int{0}, r: r}
}

// Each gives the part's micro-batches, whose gradients go to the replica's resolver.
// scales is ∂objective/∂loss of a token, by language.
func (p *Part) Each(scales []float32) iter.Seq2[Micro, error] {
	return func(yield func(Micro, error) bool) {
		for i := range p.Micro {
			if !yield(Micro{Tokens: p.TokensOf(i, scales), Sink: p.r.Resolver, Losses: p.readLosses}, nil) {
				return
			}
		}
	}
}

// readLosses starts reading a micro-batch's losses, which the model has computed.
func (p *Part) readLosses() {
	p.losses = append(p.losses, p.r.Engine.Dev.Read(p.r.Model.Loss().View()))
	if p.Read != nil && len(p.losses) == p.Micro {
		p.Read()
	}
}

// TokensOf is micro-batch i: its rows, with each token's scale and number, and, where rows
// of gradients are kept, its segments by language. nil scales are ones.
func (p *Part) TokensOf(i int, scales []float32) model.Tokens {
	s := p.SeqLen
	n := p.Rows * s
	lo := i * n
	hi := lo + n
	k := model.Tokens{IDs: p.IDs[lo:hi], Labels: p.Labels[lo:hi], Pos: p.Pos[lo:hi],
		DocStart: shift(p.DocStart[lo:hi], lo), DocEnd: shift(p.DocEnd[lo:hi], lo)}
	if scales != nil {
		k.Scale = make([]float32, n)
		for i := range n {
			k.Scale[i] = scales[p.Lang[(lo+i)/s]]
		}
	}
	for i := range n {
		k.Numbers = append(k.Numbers, p.Number[(lo+i)/s]*uint64(s)+uint64((lo+i)%s))
	}
	for _, start := range p.Starts {
		k.Starts = append(k.Starts, min(max(start-lo, 0), n))
	}
	return k
}

// shift makes document borders relative to a micro-batch's first token.
func shift(x []uint32, by int) []uint32 {
	out := make([]uint32, len(x))
	for i, v := range x {
		out[i] = v - uint32(by)
	}
	return out
}

// LossByTask is each language's mean loss over its supervised tokens, NaN where it has
// none. The losses of all micro-batches must be on their way.
func (p *Part) LossByTask() ([]float64, error) {
	if p.byTask != nil {
		return p.byTask, nil
	}
	sum := make([]float64, len(p.r.Langs))
	if err := p.EachLoss(func(token int, loss float64) { sum[p.Lang[token/p.SeqLen]] += loss }); err != nil {
		return nil, err
	}
	for m := range sum {
		if p.Supervised[m] == 0 {
			sum[m] = math.NaN()
			continue
		}
		sum[m] /= float64(p.Supervised[m])
	}
	p.byTask = sum
	return sum, nil
}

// EachLoss calls f with the loss of every supervised token.
func (p *Part) EachLoss(f func(token int, loss float64)) error {
	if len(p.losses) < p.Micro {
		return fmt.Errorf("step: losses of %d of %d micro-batches can be read when they are asked for", len(p.losses), p.Micro)
	}
	n := p.Rows * p.SeqLen
	for micro, l := range p.losses {
		v, err := device.Floats(l)
		if err != nil {
			return err
		}
		for i := range n {
			if at := micro*n + i; p.Labels[at] != data.Ignore {
				f(at, float64(v[i]))
			}
		}
	}
	return nil
}

// Starts are the segments of a whole batch: one, one per language, or two halves of
// whole rows per language.
func (r *Replica) Starts(b *data.Batch) []int {
	switch {
	case r.Objective.Static():
		return []int{0, len(b.IDs)}
	case !r.Settings.Objective.Noise.Halves:
		return b.Starts
	}
	out := []int{0}
	for m := range len(b.Starts) - 1 {
		rows := (b.Starts[m+1] - b.Starts[m]) / b.SeqLen
		out = append(out, b.Starts[m]+(rows+1)/2*b.SeqLen, b.Starts[m+1])
	}
	return out
}

// HalfTokens counts the supervised tokens of every half-language, nil without halves.
func (r *Replica) HalfTokens(b *data.Batch) []int {
	if r.Objective.Static() || !r.Settings.Objective.Noise.Halves {
		return nil
	}
	starts := r.Starts(b)
	out := make([]int, len(starts)-1)
	for h := range out {
		for _, label := range b.Labels[starts[h]:starts[h+1]] {
			if label != data.Ignore {
				out[h]++
			}
		}
	}
	return out
}
