package doctor

import (
	"math"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// combineTests checks the weighted sum of rows, with a row of NaN that has weight 0.
func combineTests() []Test {
	return []Test{{"combine", func(e *Probe) error {
		const m, n = 19, 257
		rows, host := randomRows(e, m, n)
		defer rows.Buf.Release()
		bad := optest.Random(n, 99)
		bad[5] = float32(math.NaN())
		e.Upload(rows.Objective(2), bad)
		weights := optest.Random(m, 50)
		weights[2] = 0
		out := e.New(gpu.RoleScratch, "self-test combined", 1, n)
		defer out.Buf.Release()
		want := optest.Random(n, 51)
		e.Upload(out, want)
		e.Combine(out, rows, weights, true)
		ref.Combine(want, host, rows.Stride, weights, true)
		got, err := e.Download(out)
		if err != nil {
			return err
		}
		return e.compare(got, want, 1e-10)
	}}}
}
