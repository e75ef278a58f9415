package cluster

import (
	"errors"
	"fmt"
	"math"
)

// ErrValue marks a contribution that cannot be added up.
var ErrValue = errors.New("a value that cannot be summed")

// The fixed point of sums: 64-bit integers of 2⁻⁴⁰. With values up to 2¹⁰ in
// magnitude 2¹² contributions cannot overflow, and integer addition does not
// depend on the order: any order of arrival gives the same bits.
const (
	fixedScale  = 1 << 40
	fixedLimit  = 1 << 10
	maxPartials = 1 << 12
)

// partial adds up one row of one unit.
type partial struct {
	acc    []int64
	tokens int
	n      int
}

// add adds x, all or nothing.
func (s *partial) add(x []float32, tokens int) error {
	if s.n >= maxPartials {
		return fmt.Errorf("%w: more than %d contributions", ErrValue, maxPartials)
	}
	if err := summable(x); err != nil {
		return err
	}
	if s.acc == nil {
		s.acc = make([]int64, len(x))
	}
	for i, v := range x {
		s.acc[i] += fixed(v)
	}
	s.tokens += tokens
	s.n++
	return nil
}

// summable says which value cannot be added, if any.
func summable(x []float32) error {
	for i, v := range x {
		if !(math.Abs(float64(v)) <= fixedLimit) {
			return fmt.Errorf("%w: value %d is %v; up to ±%d is possible", ErrValue, i, v, fixedLimit)
		}
	}
	return nil
}

// fixed is v in units of 2⁻⁴⁰, to the nearest, ties to even. The product is
// exact: a float32 has 24 bits.
func fixed(v float32) int64 { return int64(math.RoundToEven(float64(v) * fixedScale)) }

// values returns the sum times planned/tokens: contributions were scaled for all
// planned tokens of the row's language, of which counted arrived. It is 1 where
// all did.
func (s *partial) values(planned, counted int) []float32 {
	factor := 1.0 / fixedScale
	if planned != counted && counted > 0 {
		factor = float64(planned) / float64(counted) / fixedScale
	}
	out := make([]float32, len(s.acc))
	for i, a := range s.acc {
		out[i] = float32(float64(a) * factor)
	}
	return out
}
