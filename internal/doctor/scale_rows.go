package doctor

import (
	"math"

	"concord/internal/optest"
	"concord/internal/ref"
)

// scaleRowsTests checks both forms, with a row of NaN that is scaled by 0.
func scaleRowsTests() []Test {
	return []Test{
		{Kernel: "scale_rows", Run: func(e *Probe) error { return checkScaleRows(e, false) }},
		{Kernel: "scale_rows_inplace", Run: func(e *Probe) error { return checkScaleRows(e, true) }},
	}
}

func checkScaleRows(e *Probe, inPlace bool) error {
	const r, c = 13, 37
	a, scale := optest.Random(r*c, 1), optest.Random(r, 2)
	scale[5], a[5*c+3] = 0, float32(math.NaN())
	want := make([]float32, r*c)
	ref.ScaleRows(want, a, scale, c)
	ta, ts, out := matrix(e, r, c, a), matrix(e, 1, r, scale), matrix(e, r, c, want)
	defer release(ta, ts, out)
	if inPlace {
		e.ScaleRowsInPlace(ta, ts)
		return same(e, "rows", ta, want)
	}
	e.ScaleRows(out, ta, ts)
	return same(e, "rows", out, want)
}
