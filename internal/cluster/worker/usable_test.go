package worker

import (
	"math"
	"slices"
	"testing"

	"concord/bucket/exchange"
	"concord/transport"
)

// Grams that each leave a row, and together none, are not solved: the run would end as diverged.
// Their owners are doubted, and not this machine, whose own Gram counts where nobody else's does it.
func TestGramsThatLeaveNothingTogether(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name            string
		second, third   []float64
		doubted, solved bool
	}{
		{"all finite", []float64{1, 0, 1}, []float64{1, 0, 1}, false, true},
		{"one row is left", []float64{nan, nan, 1}, []float64{nan, nan, 1}, false, true},
		{"none is left", []float64{nan, nan, 1}, []float64{1, nan, nan}, true, false},
	} {
		m, s := opened(1, 2, 3)
		m.stop() // nothing is sent to the others
		h := transport.Header{Kind: transport.Gram, Step: 7, Epoch: 5}
		for slice, g := range map[uint32][]float64{2: c.second, 3: c.third} {
			if err := gramFits(g, s.work); err != nil {
				t.Fatal(err)
			}
			h.Bucket, h.Sender = slice, slice
			m.deliverTogether(h, packGram(g))
		}
		s.Gram(exchange.Event{Kind: exchange.Sum, Slice: 1, Epoch: 5}, []float64{1, 0, 1})
		solved := slices.ContainsFunc(s.queue, func(e exchange.Event) bool { return e.Kind == exchange.Solve })
		if bad := maskers(s.group(1).grams, s.work); solved != c.solved || (bad != nil) != c.doubted ||
			c.doubted && !slices.Equal(bad, []int{2, 3}) {
			t.Errorf("%s: solved %v, doubted %v", c.name, solved, bad)
		}
	}
	_, s := opened(1, 1, 1)
	for slice := 1; slice < 4; slice++ {
		s.Gram(exchange.Event{Kind: exchange.Sum, Slice: slice, Epoch: 5}, []float64{nan, nan, nan})
	}
	if !slices.ContainsFunc(s.queue, func(e exchange.Event) bool { return e.Kind == exchange.Solve }) {
		t.Error("a machine's own group is not solved: nobody would say why")
	}
}

// Values whose sums would not be numbers are no Gram's.
func TestGramsOfNumbersOnly(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	_, s := opened(1, 2, 3)
	for _, c := range []struct {
		g  []float64
		ok bool
	}{
		{[]float64{1, 0.5, 1}, true}, {[]float64{inf, nan, 1}, true}, {[]float64{0, 0, 0}, true},
		{[]float64{1e308, 0, 1}, false}, {[]float64{1, 1e308, 1}, false}, {[]float64{1, nan, 1}, false},
		{[]float64{-1, 0, 1}, false}, {[]float64{nan, nan, nan}, false}, {[]float64{1}, false},
	} {
		if err := gramFits(c.g, s.work); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.g, err)
		}
	}
}
