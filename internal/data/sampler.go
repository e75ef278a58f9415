package data

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// SamplerOptions shape the batches.
type SamplerOptions struct {
	Rows, SeqLen int
	// Temperature T: a language with n tokens gets a share ∝ n^(1/T) of the
	// tokens. 0 = 1, as the data is; +Inf = equal shares.
	Temperature float64
	// MaxRepeat: no language is read more than so many times while all data together is
	// read once; its share beyond goes to the others. 0 = no bound. (UniMax, Chung et
	// al. 2023, bounds epochs likewise.)
	MaxRepeat float64
	// Mixing says how the rows of a step are divided among the languages: "" and
	// "stratified" as evenly as the shares allow, "iid" each row drawn by itself.
	Mixing string
	// Aligned puts translations of the same examples into one step: see align.go.
	Aligned bool
	Seed    uint64
}

// Sampler makes the training batches. Batch is a pure function of (options,
// examples, step): a run is resumed at any step without replaying it.
//
// Each language is an endless stream of packed rows, epoch after epoch, in
// which each example occurs exactly once per epoch. A mixing says how many rows of
// each language a step takes from these streams.
type Sampler struct {
	opt     SamplerOptions
	streams []*stream
	mixing  mixing
	aligned *Alignment // nil: languages are read each by itself
	shares  []float64
	capped  []float64 // how many times a language would be repeated without MaxRepeat; 0 where it makes no difference
}

// NewSampler takes the sets that have examples to train on; languages are
// numbered in their order. The sets' examples must not change afterwards.
func NewSampler(sets []*Set, o SamplerOptions) (*Sampler, error) {
	if o.Rows < 1 || o.SeqLen < 1 {
		return nil, fmt.Errorf("data: a batch of %d rows of %d tokens: both must be 1 or more", o.Rows, o.SeqLen)
	}
	if o.Temperature == 0 {
		o.Temperature = 1
	}
	if !(o.Temperature > 0) {
		return nil, fmt.Errorf("data: temperature %v: it must be positive", o.Temperature)
	}
	s := &Sampler{opt: o}
	for _, set := range sets {
		if size(set.Train) == 0 {
			continue
		}
		if err := checkLengths(set.Lang, set.Train, o.SeqLen); err != nil {
			return nil, err
		}
		s.streams = append(s.streams, &stream{lang: set.Lang, seed: o.Seed, examples: set.Train, keys: set.Keys, epoch: -1})
	}
	if len(s.streams) == 0 {
		return nil, errors.New("data: no language has an example to train on: give a [[data.source]] a path, and train = true")
	}
	if o.Aligned {
		return s, s.align()
	}
	for _, t := range s.streams {
		t.packing = pack(t.examples, o.SeqLen)
	}
	s.share()
	switch o.Mixing {
	case "", Stratified:
		s.mixing = newCycle(s.rowWeights(), o.Rows)
	case IID:
		s.mixing = newIID(s.rowWeights(), o.Rows, o.Seed)
	default:
		return nil, fmt.Errorf("data: mixing %q is not known: use %q or %q", o.Mixing, Stratified, IID)
	}
	return s, nil
}

// share computes each language's share of the tokens.
func (s *Sampler) share() {
	most, all := 0, 0
	for _, t := range s.streams {
		most = max(most, t.packing.tokens)
		all += t.packing.tokens
	}
	sum := 0.0
	for _, t := range s.streams { // relative to the largest: no overflow
		p := math.Pow(float64(t.packing.tokens)/float64(most), 1/s.opt.Temperature)
		s.shares = append(s.shares, p)
		sum += p
	}
	for m := range s.shares {
		s.shares[m] /= sum
	}
	s.capped = make([]float64, len(s.shares))
	if s.opt.MaxRepeat > 0 {
		s.capShares(float64(all))
	}
}

// capShares holds every language to MaxRepeat times its share of the data; the rest that this
// leaves is divided among the others in proportion, until none is above.
func (s *Sampler) capShares(all float64) {
	for {
		free, rest, over := 0.0, 1.0, false
		for m, t := range s.streams {
			most := s.opt.MaxRepeat * float64(t.packing.tokens) / all
			switch {
			case s.capped[m] > 0:
				rest -= most
			case s.shares[m] > most*(1+1e-9):
				s.capped[m], over = s.opt.MaxRepeat*s.shares[m]/most, true
				s.shares[m] = most
				rest -= most
			default:
				free += s.shares[m]
			}
		}
		if !over {
			return
		}
		for m := range s.shares {
			if s.capped[m] == 0 {
				s.shares[m] *= rest / free
			}
		}
	}
}

// rowWeights are in proportion to the languages' shares of the rows: a language's share
// of the tokens over the fill of its rows.
func (s *Sampler) rowWeights() []float64 {
	weight := make([]float64, len(s.streams))
	for m, t := range s.streams {
		weight[m] = s.shares[m] * float64(t.packing.rows()) / float64(t.packing.tokens)
	}
	return weight
}

// Batch makes the batch of a step, counted from 0. Safe for concurrent use. Where
// examples cannot be read the batch says so in Err.
func (s *Sampler) Batch(step int) *Batch {
	from, to := s.mixing.rowsBefore(step), s.mixing.rowsBefore(step+1)
	rows := make([]row, 0, s.opt.Rows)
	var failed error
	for m, t := range s.streams {
		for n := from[m]; n < to[m]; n++ {
			examples, err := t.row(n)
			failed = cmp.Or(failed, err)
			rows = append(rows, row{lang: m, examples: examples})
		}
	}
	b := newBatch(rows, s.opt.Rows, s.opt.SeqLen, len(s.streams))
	b.Err = failed
	for r := range b.Number {
		b.Number[r] = uint64(step)*uint64(b.Rows) + uint64(r)
	}
	return b
}

// StepRows is the number of rows of each language in a step's batch.
func (s *Sampler) StepRows(step int) []int {
	n, before := s.mixing.rowsBefore(step+1), s.mixing.rowsBefore(step)
	for m := range n {
		n[m] -= before[m]
	}
	return n
}

// TokensIn is how many tokens the first steps hold, padding not counted; within an
// epoch, as if all rows of a language were equally full, and with IID on average.
func (s *Sampler) TokensIn(steps int) float64 {
	sum := 0.0
	for m, n := range s.mixing.expected(steps) {
		sum += n * float64(s.streams[m].packing.tokens) / float64(s.streams[m].packing.rows())
	}
	return sum
}

// Languages lists the languages trained on, in the order of a batch's segments.
func (s *Sampler) Languages() []string {
	var out []string
	for _, t := range s.streams {
		out = append(out, t.lang)
	}
	return out
}

// Shares is each language's share of the tokens.
func (s *Sampler) Shares() []float64 { return slices.Clone(s.shares) }

// Epochs is how many passes over each language's examples the first steps make, with IID
// on average.
func (s *Sampler) Epochs(steps int) []float64 {
	out := make([]float64, len(s.streams))
	for m, n := range s.mixing.expected(steps) {
		out[m] = n / float64(s.streams[m].packing.rows())
	}
	return out
}

// Capped is how many times each language would be repeated for one reading of all data
// if MaxRepeat did not hold it; 0 where it does not.
func (s *Sampler) Capped() []float64 { return slices.Clone(s.capped) }

// StepsPerEpoch is the number of steps in which every language is read once: the one
// that is read most slowly decides. At temperature 1 all are read alike.
func (s *Sampler) StepsPerEpoch() float64 {
	weights, sum, most := s.rowWeights(), 0.0, 0.0
	for _, w := range weights {
		sum += w
	}
	for m, t := range s.streams {
		most = max(most, float64(t.packing.rows())*sum/weights[m])
	}
	if whole := math.Round(most); math.Abs(most-whole) < 1e-6 {
		most = whole // rounding does not cost a step
	}
	return most / float64(s.opt.Rows)
}

// Fill is the part of the rows' positions that is not padding, per language.
func (s *Sampler) Fill() []float64 {
	out := make([]float64, len(s.streams))
	for m, t := range s.streams {
		out[m] = float64(t.packing.tokens) / float64(t.packing.rows()*s.opt.SeqLen)
	}
	return out
}
