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
	Seed      uint64
}

// Sampler makes the training batches. Batch is a pure function of (options,
// examples, step): a run is resumed at any step without replaying it.
//
// Each language is an endless stream of packed rows, epoch after epoch, in
// which each example occurs exactly once per epoch. A fixed cycle of rows
// (smooth weighted round robin) says which language each row is drawn from, so
// that the shares hold over any stretch of steps to within a row.
type Sampler struct {
	opt     SamplerOptions
	streams []*stream
	cycle   []int   // language of each row of a cycle of whole steps
	before  [][]int // step of the cycle → language → rows drawn before it
	perLang []int   // rows of each language in a cycle
	shares  []float64
	capped  []float64 // how many times a language would be repeated without MaxRepeat; 0 where it makes no difference
}

// cycleRows is the least number of rows in a cycle: shares are rounded to
// multiples of its inverse.
const cycleRows = 1 << 14

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
		s.streams = append(s.streams, &stream{lang: set.Lang, seed: o.Seed, examples: set.Train, packing: pack(set.Train, o.SeqLen), epoch: -1})
	}
	if len(s.streams) == 0 {
		return nil, errors.New("data: no language has an example to train on")
	}
	s.share()
	s.schedule()
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

// capShares holds every language to MaxRepeat times its share of the data; what that
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

// schedule fixes the cycle. A language's share of the rows is its share of the
// tokens over the fill of its rows.
func (s *Sampler) schedule() {
	numLangs := len(s.streams)
	steps := max(1, (max(cycleRows, numLangs)+s.opt.Rows-1)/s.opt.Rows)
	s.perLang = apportion(s.rowWeights(), steps*s.opt.Rows)
	credit, drawn := make([]int, numLangs), make([]int, numLangs)
	for i := range steps * s.opt.Rows {
		if i%s.opt.Rows == 0 {
			s.before = append(s.before, slices.Clone(drawn))
		}
		best := 0
		for m := range credit {
			credit[m] += s.perLang[m]
			if credit[m] > credit[best] {
				best = m
			}
		}
		credit[best] -= steps * s.opt.Rows
		drawn[best]++
		s.cycle = append(s.cycle, best)
	}
}

// rowWeights are in proportion to the languages' shares of the rows.
func (s *Sampler) rowWeights() []float64 {
	weight := make([]float64, len(s.streams))
	for m, t := range s.streams {
		weight[m] = s.shares[m] * float64(t.packing.rows()) / float64(t.packing.tokens)
	}
	return weight
}

// apportion divides total into whole parts ∝ weight, each at least one, by
// largest remainders.
func apportion(weight []float64, total int) []int {
	sum := 0.0
	for _, w := range weight {
		sum += w
	}
	parts, rest := make([]int, len(weight)), total
	order := make([]int, len(weight))
	remainder := make([]float64, len(weight))
	for m, w := range weight {
		exact := w / sum * float64(total)
		parts[m] = max(1, int(exact))
		remainder[m] = exact - float64(parts[m])
		rest -= parts[m]
		order[m] = m
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case remainder[a] > remainder[b]:
			return -1
		case remainder[a] < remainder[b]:
			return 1
		}
		return 0
	})
	for i := 0; rest > 0; i, rest = i+1, rest-1 {
		parts[order[i%len(order)]]++
	}
	for ; rest < 0; rest++ { // the floors of one took too many: from the largest
		largest := 0
		for m := range parts {
			if parts[m] > parts[largest] {
				largest = m
			}
		}
		parts[largest]--
	}
	return parts
}

// Batch makes the batch of a step, counted from 0. Safe for concurrent use. Where
// examples cannot be read the batch says so in Err.
func (s *Sampler) Batch(step int) *Batch {
	at := step % len(s.before)
	langs := slices.Clone(s.cycle[at*s.opt.Rows : (at+1)*s.opt.Rows])
	slices.Sort(langs)
	next := s.rowsBefore(step)
	rows := make([]row, len(langs))
	var failed error
	for r, m := range langs {
		examples, err := s.streams[m].row(next[m])
		failed = cmp.Or(failed, err)
		rows[r] = row{lang: m, examples: examples}
		next[m]++
	}
	b := newBatch(rows, s.opt.Rows, s.opt.SeqLen, len(s.streams))
	b.Err = failed
	return b
}

// rowsBefore is the number of rows drawn from each language before a step.
func (s *Sampler) rowsBefore(step int) []int {
	cycles, at := step/len(s.before), step%len(s.before)
	n := slices.Clone(s.before[at])
	for m := range n {
		n[m] += cycles * s.perLang[m]
	}
	return n
}

// StepRows is the number of rows of each language in a step's batch.
func (s *Sampler) StepRows(step int) []int {
	n, before := s.rowsBefore(step+1), s.rowsBefore(step)
	for m := range n {
		n[m] -= before[m]
	}
	return n
}

// TokensIn is how many tokens the first steps hold, padding not counted; within an
// epoch, as if all rows of a language were equally full.
func (s *Sampler) TokensIn(steps int) float64 {
	sum := 0.0
	for m, n := range s.rowsBefore(steps) {
		sum += float64(n) * float64(s.streams[m].packing.tokens) / float64(s.streams[m].packing.rows())
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

// Epochs is how many passes over each language's examples the first steps make.
func (s *Sampler) Epochs(steps int) []float64 {
	out := make([]float64, len(s.streams))
	for m, n := range s.rowsBefore(steps) {
		out[m] = float64(n) / float64(s.streams[m].packing.rows())
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
