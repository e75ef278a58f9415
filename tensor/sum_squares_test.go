package tensor

import (
	"math"
	"testing"

	"concord/internal/optest"
	"concord/internal/ref"
)

func TestSumSquares(t *testing.T) {
	e := testEngine(t)
	var xs []Tensor
	var want []float64
	for i, s := range [][2]int{{1, 1}, {1, 3}, {5, 7}, {1, 255}, {1, 256}, {1, 257}, {3, 65537}, {1, 300007}} {
		host := optest.Random(s[0]*s[1], uint64(i))
		xs = append(xs, upload(e, s[0], s[1], host))
		want = append(want, ref.SumSquares(host))
	}
	scratch := e.SumSquaresScratch(xs...)
	first, second := e.SumSquares(scratch, xs...), e.SumSquares(scratch, xs...)
	got, err := first.Wait()
	if err != nil {
		t.Fatal(err)
	}
	again, err := second.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if math.Abs(got[i]-want[i]) > 1e-6*want[i] {
			t.Errorf("%v: %v, want %v", xs[i], got[i], want[i])
		}
		if got[i] != again[i] {
			t.Errorf("%v: %v, then %v", xs[i], got[i], again[i])
		}
	}
}

// TestSumSquaresGuards checks that only the partial sums are written.
func TestSumSquaresGuards(t *testing.T) {
	e := testEngine(t)
	x := upload(e, 1, 257, optest.Random(257, 1))
	part := guarded(e, 1, slotsOf(257, e.stripOf(257)))
	if _, err := e.SumSquares(part, x).Wait(); err != nil {
		t.Fatal(err)
	}
	checkGuards(t, e, part)
}
