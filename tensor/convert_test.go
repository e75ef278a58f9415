package tensor

import (
	"fmt"
	"math"
	"testing"

	"concord/internal/optest"
)

// TestConvert holds the kernel to Encode, bit for bit, from every type to every
// type that a kernel stores: rounding boundaries, ties, values that overflow.
func TestConvert(t *testing.T) {
	e := testEngine(t)
	var edges []float32
	for exp := -27; exp < 17; exp++ {
		for _, f := range []float64{1, 1 + 1.0/256, 1 + 3.0/256, 1 + 1.0/2048, 1 + 3.0/2048, 1.999, -1.2345} {
			edges = append(edges, float32(math.Ldexp(f, exp)))
		}
	}
	edges = append(edges, 0, 65504, 65519)
	for _, s := range [][2]int{{1, 1}, {7, 13}, {3, 64}, {5, 70}, {1, len(edges)}} {
		r, c := s[0], s[1]
		data := optest.Random(r*c, 1)
		if c == len(edges) {
			data = edges
		}
		for _, from := range DTypes() {
			for _, to := range []DType{F32, BF16, F16} {
				t.Run(fmt.Sprintf("%v-%v-%dx%d", from, to, r, c), func(t *testing.T) {
					x, out := typed(e, from, r, c, data), e.NewTyped("scratch", "out", to, r, c)
					defer x.Buf.Release()
					defer out.Buf.Release()
					e.Convert(out, x)
					want := decoded(to, decoded(from, data, c), c)
					if i := optest.Bits(download(t, e, out), want); i >= 0 {
						t.Errorf("value %d (%v) is %v, want %v", i, data[i], download(t, e, out)[i], want[i])
					}
				})
			}
		}
	}
}

// Weights that a kernel has made infinite or NaN stay so.
func TestConvertNonFinite(t *testing.T) {
	e := testEngine(t)
	data := []float32{float32(math.NaN()), math.Float32frombits(0xff800001), float32(math.Inf(1)), float32(math.Inf(-1)), 1e30, -7e4}
	x := upload(e, 1, len(data), data)
	for _, to := range []DType{BF16, F16} {
		out := e.NewTyped("scratch", "out", to, 1, len(data))
		e.Convert(out, x)
		for i, want := range to.Decode(to.Encode(data)) {
			if got := download(t, e, out)[i]; got != want && !(got != got && want != want) {
				t.Errorf("%v: %v became %v, want %v", to, data[i], got, want)
			}
		}
	}
}
