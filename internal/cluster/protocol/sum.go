package protocol

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrValue marks a contribution that cannot be added up.
var ErrValue = errors.New("a value that cannot be summed")

// The largest value of a row, and the most nats that a token can cost: values above them are
// nobody's gradient or loss, and their sums would not be numbers.
const (
	mostValue = 1e34
	mostLoss  = 1e12
)

// Summable says which value cannot be added, if any.
func Summable(x []float32) error {
	for i, v := range x {
		if !(math.Abs(float64(v)) <= mostValue) {
			return fmt.Errorf("%w: value %d is %v", ErrValue, i, v)
		}
	}
	return nil
}

// SummableLoss says whether a loss of so many tokens can be added up.
func SummableLoss(loss float64, tokens int) error {
	if !(math.Abs(loss) <= mostLoss*float64(tokens)) {
		return fmt.Errorf("%w: a loss of %g in %d tokens", ErrValue, loss, tokens)
	}
	return nil
}

// Addend is the part of one contribution in a row of a group: values times scale.
type Addend struct {
	Worker uint32
	Values []float32
	Scale  float64 // 1, but for a contribution that counts for several rows
}

// sumBlock is how many values are added up at a time: their sums stay in the cache.
const sumBlock = 4096

// Sum adds up a row's addends in float64, in the order of the workers, which is that
// of their rows in the batch, not in that of their arrival; the result is
// scaled by planned/counted tokens of the row's language: contributions were scaled
// for all planned tokens. No range is assumed: tiny values keep their bits, and large
// ones are clipped later, as on one machine.
func Sum(addends []Addend, planned, counted int) []float32 {
	slices.SortFunc(addends, func(a, b Addend) int { return cmp.Compare(a.Worker, b.Worker) })
	factor := 1.0
	if planned != counted && counted > 0 {
		factor = float64(planned) / float64(counted)
	}
	out := make([]float32, len(addends[0].Values))
	var acc [sumBlock]float64
	for at := 0; at < len(out); at += sumBlock {
		block := acc[:min(sumBlock, len(out)-at)]
		clear(block)
		for _, a := range addends {
			x := a.Values[at : at+len(block)]
			for i, v := range x {
				block[i] += scaled(v, a.Scale)
			}
		}
		for i, v := range block {
			out[at+i] = float32(v * factor)
		}
	}
	return out
}

// scaled is v times scale, rounded to float32; the conversion keeps compilers from
// fusing it with an addition: the same bits on every processor.
func scaled(v float32, scale float64) float64 {
	if scale == 1 {
		return float64(v)
	}
	return float64(float32(scale * float64(v)))
}
