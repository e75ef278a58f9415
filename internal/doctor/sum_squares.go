package doctor

import (
	"fmt"
	"math"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// sumSquaresTests checks the norm of a gradient.
func sumSquaresTests() []Test {
	return []Test{{"sum_squares", func(e *Probe) error {
		const n = 20011
		host := optest.Random(n, 1)
		x := e.New(gpu.RoleScratch, "self-test values", 1, n)
		defer x.Buf.Release()
		e.Upload(x, host)
		scratch := e.SumSquaresScratch(x)
		defer scratch.Buf.Release()
		got, err := e.SumSquares(scratch, x).Wait()
		if err != nil {
			return err
		}
		want := ref.SumSquares(host)
		keep(e, got)
		e.note(math.Pow((got[0]-want)/want, 2))
		if !(math.Abs(got[0]-want) <= 1e-6*want) {
			return fmt.Errorf("sum of %d squares is %v, want %v", n, got[0], want)
		}
		return nil
	}}}
}
