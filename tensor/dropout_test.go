package tensor

import (
	"fmt"
	"math"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// numbered are n token numbers from first on, and the words that a kernel reads.
func numbered(first uint64, n int) (numbers []uint64, words []uint32) {
	for i := range n {
		v := first + uint64(i)
		numbers, words = append(numbers, v), append(words, uint32(v), uint32(v>>32))
	}
	return numbers, words
}

// The mask is that of the twin to the bit, over numbers that pass 32 bits; NaN that is left
// out is zero; values are added where asked.
func TestDropout(t *testing.T) {
	e := testEngine(t)
	key := [2]uint32{0x9e3779b9, 7}
	for _, s := range elementwiseShapes {
		for _, share := range []float64{0, 0.1, 0.5, 1 - 1e-12} {
			t.Run(fmt.Sprint(s, share), func(t *testing.T) {
				r, c := s[0], s[1]
				numbers, words := numbered(1<<32-uint64(r/2)-1, r)
				x, before := optest.Random(r*c, 1), optest.Random(r*c, 2)
				mask := ref.DropoutMask(numbers, c, share, key)
				for i := range x {
					if mask[i] == 0 {
						x[i] = float32(math.NaN())
					}
				}
				want, sum := make([]float32, r*c), append([]float32{}, before...)
				ref.Dropout(want, x, numbers, c, share, key, false)
				ref.Dropout(sum, x, numbers, c, share, key, true)
				tx, tokens := upload(e, r, c, x), e.New(gpu.RoleScratch, "tokens", 1, 2*r)
				e.UploadU32(tokens, words)
				defer release(tx, tokens)
				checkOutputs(t, e, []output{{r, c, want, nil}}, func(out []Tensor) { e.Dropout(out[0], tx, tokens, share, key, false) })
				out := guarded(e, r, c)
				defer release(out)
				e.Upload(out, before)
				e.Dropout(out, tx, tokens, share, key, true)
				if err := optest.Compare(download(t, e, out), sum, 1e-10); err != nil {
					t.Errorf("added: %v", err)
				}
				checkGuards(t, e, out)
			})
		}
	}
}

// Of a million values the share of those that are left out is the one that was asked for, in all and
// by column and row, to five standard deviations; values side by side, tokens side by side,
// steps side by side and two modules have nothing to do with each other.
func TestDropoutMask(t *testing.T) {
	const rows, cols, share = 2048, 512, 0.1
	e := testEngine(t)
	first := uint64(3) * rows
	draw := func(first uint64, key [2]uint32) []float32 {
		_, words := numbered(first, rows)
		x, out := upload(e, rows, cols, ones(rows*cols)), e.New(gpu.RoleScratch, "out", rows, cols)
		tokens := e.New(gpu.RoleScratch, "tokens", 1, 2*rows)
		e.UploadU32(tokens, words)
		defer release(x, tokens, out)
		e.Dropout(out, x, tokens, share, key, false)
		v := download(t, e, out)
		for i := range v { // 1 = left out
			v[i] = float32(b2f(v[i] == 0))
		}
		return v
	}
	m, next, other := draw(first, [2]uint32{1, 2}), draw(first+rows, [2]uint32{1, 2}), draw(first, [2]uint32{1, 3})
	fraction := func(what string, n int, at func(i int) float32) {
		t.Helper()
		sum := 0.0
		for i := range n {
			sum += float64(at(i))
		}
		if dev := (sum/float64(n) - share) / math.Sqrt(share*(1-share)/float64(n)); math.Abs(dev) > 5 {
			t.Errorf("%s: %.4f of %d left out, %.1f standard deviations from %v", what, sum/float64(n), n, dev, share)
		}
	}
	fraction("all", len(m), func(i int) float32 { return m[i] })
	for c := range cols {
		fraction(fmt.Sprintf("column %d", c), rows, func(i int) float32 { return m[i*cols+c] })
	}
	for r := range rows {
		fraction(fmt.Sprintf("row %d", r), cols, func(i int) float32 { return m[r*cols+i] })
	}
	correlation := func(what string, a, b []float32) {
		t.Helper()
		sum := 0.0
		for i := range b {
			sum += (float64(a[i]) - share) * (float64(b[i]) - share)
		}
		if dev := sum / (share * (1 - share)) / math.Sqrt(float64(len(b))); math.Abs(dev) > 5 {
			t.Errorf("%s: %.1f standard deviations from no correlation", what, dev)
		}
	}
	for _, lag := range []int{1, 2, 3, 4, 8, cols, 2 * cols, 32 * cols} {
		correlation(fmt.Sprintf("%d values apart", lag), m, m[lag:])
	}
	correlation("the next step", m, next)
	correlation("another module", m, other)
}

func b2f(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
