package doctor

import (
	"concord/internal/optest"
	"concord/internal/ref"
)

// geluTests covers the activation of a network without a gate, and its gradient.
func geluTests() []Test {
	return []Test{{Kernel: "gelu_forward", Run: checkGELU}, {Kernel: "gelu_backward", Run: checkGELUBackward}}
}

const geluRows, geluColumns = 7, 37

// geluInputs is values up to ±8, and ±200 where exp would overflow.
func geluInputs() []float32 {
	x := optest.Random(geluRows*geluColumns, 1)
	for i := range x {
		if x[i] *= 8; i%41 == 2 {
			x[i] *= 25
		}
	}
	return x
}

func checkGELU(e *Probe) error {
	x, want := geluInputs(), make([]float32, geluRows*geluColumns)
	ref.GELU(want, x)
	tx, out := matrix(e, geluRows, geluColumns, x), matrix(e, geluRows, geluColumns, x)
	defer release(tx, out)
	e.GELU(out, tx)
	return same(e, "out", out, want)
}

func checkGELUBackward(e *Probe) error {
	x, dout, want := geluInputs(), optest.Random(geluRows*geluColumns, 2), make([]float32, geluRows*geluColumns)
	ref.GELUBackward(want, dout, x)
	tx, td := matrix(e, geluRows, geluColumns, x), matrix(e, geluRows, geluColumns, dout)
	defer release(tx, td)
	e.GELUBackward(td, tx)
	return same(e, "dx", tx, want)
}
