package tensor

import (
	"fmt"
	"math"
	"testing"

	"concord/internal/optest"
	"concord/internal/ref"
)

// scaled is n random values in [-f, f).
func scaled(n int, seed uint64, f float32) []float32 {
	out := optest.Random(n, seed)
	for i := range out {
		out[i] *= f
	}
	return out
}

func TestCrossEntropy(t *testing.T) {
	e := testEngine(t)
	// rows, vocabulary, first row: around a vec4, around the lanes' stride, each
	// choice of crossEntropyLanes, and more than 65,535 workgroups.
	for _, s := range [][3]int{{1, 1, 0}, {7, 3, 2}, {8, 31, 0}, {9, 32, 1}, {5, 33, 0}, {3, 1021, 4}, {2, 4097, 0}, {3, 16387, 5},
		{1, 262144, 0}, {8*65535 + 5, 5, 3}} {
		t.Run(fmt.Sprint(s), func(t *testing.T) {
			r, v, row0 := s[0], s[1], s[2]
			n := row0 + r + 1
			logits, scale, labels := scaled(r*v, 1, 9), optest.Random(n, 2), randomIDs(n, v, 3)
			if r > 2 {
				labels[row0+1] = IgnoredLabel
				labels[row0+2] = uint32(v - 1)
			}
			tl, ts := uploadU32(e, labels), upload(e, 1, n, scale)
			for i, grad := range []bool{false, true, false, true} {
				softCap := float32(i/2) * 7
				loss, z := optest.Random(n, 4), append([]float32(nil), logits...)
				outs := []output{{r, v, z, logits}, {1, n, loss, append([]float32(nil), loss...)}}
				ref.CrossEntropy(z, loss, labels, scale, row0, v, float64(softCap), grad)
				checkOutputs(t, e, outs, func(o []Tensor) {
					s := ts
					if !grad {
						s = Tensor{}
					}
					e.CrossEntropy(o[0], o[1], tl, s, row0, v, softCap, grad)
				})
			}
		})
	}
}

// A confident prediction has a loss far below the error of a driver's log near 1.
func TestCrossEntropyOfConfidentRows(t *testing.T) {
	e := testEngine(t)
	const r, v = 16, 40
	logits, labels, loss := make([]float32, r*v), make([]uint32, r), make([]float32, r)
	for i := range r {
		logits[i*v+i] = 3 + float32(i)/2
		labels[i] = uint32(i)
	}
	want := append([]float32(nil), logits...)
	ref.CrossEntropy(want, loss, labels, nil, 0, v, 0, false)
	got := e.New("scratch", "loss", 1, r)
	e.CrossEntropy(upload(e, r, v, logits), got, uploadU32(e, labels), Tensor{}, 0, v, 0, false)
	for i, g := range download(t, e, got) {
		if d := math.Abs(float64(g - loss[i])); d > 3e-7*(1+float64(loss[i])) {
			t.Errorf("row %d: loss %v, want %v", i, g, loss[i])
		}
	}
}

func TestCrossEntropyOfBrokenRowsIsNaN(t *testing.T) {
	e := testEngine(t)
	const r, v = 6, 70
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	logits, labels := scaled(r*v, 1, 3), []uint32{1, 2, 3, v, IgnoredLabel, 5}
	logits[0*v+69], logits[1*v+33], logits[2*v+0], logits[4*v+4] = nan, inf, -inf, nan
	loss, z := e.New("scratch", "loss", 1, r), upload(e, r, v, logits)
	e.CrossEntropy(z, loss, uploadU32(e, labels), upload(e, 1, r, make([]float32, r)), 0, v, 0, true)
	for i, l := range download(t, e, loss) {
		if broken := i < 4; broken != math.IsNaN(float64(l)) {
			t.Errorf("row %d: loss %v", i, l)
		}
	}
	for i, g := range download(t, e, z)[4*v : 5*v] {
		if g != 0 {
			t.Fatalf("ignored row with a NaN: gradient %d is %v", i, g)
		}
	}
}

func BenchmarkCrossEntropy(b *testing.B) {
	e := testEngine(b)
	for _, v := range []int{1024, 49152} {
		n := 2048 * 1024 / v
		z, loss := upload(e, n, v, scaled(n*v, 1, 5)), e.New("scratch", "loss", 1, n)
		labels, scale := uploadU32(e, randomIDs(n, v, 2)), upload(e, 1, n, optest.Random(n, 3))
		benchOp(b, e, fmt.Sprintf("%dx%d", n, v), int64(n)*int64(v)*8, func() { e.CrossEntropy(z, loss, labels, scale, 0, v, 0, true) })
	}
}
