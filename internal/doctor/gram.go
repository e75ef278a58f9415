package doctor

import (
	"errors"
	"fmt"
	"math"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// gramTests checks the Gram kernels: one block of rows, blocks against blocks,
// and enough columns to fold partial sums.
func gramTests() []Test {
	return []Test{
		{"gram", func(e *tensor.Engine) error { return checkGram(e, 7, 257) }},
		{"gram_cross", func(e *tensor.Engine) error { return checkGram(e, 11, 257) }},
		{"gram_fold", func(e *tensor.Engine) error {
			return errors.Join(checkGram(e, 3, 100003), checkGram(e, 2, 1<<20))
		}},
	}
}

// checkGram uses one scratch for rows of two lengths, as the buckets of a model do.
func checkGram(e *tensor.Engine, m, n int) error {
	s := e.NewGramScratch(m, n)
	defer s.Release()
	return errors.Join(checkGramOf(e, m, n, s), checkGramOf(e, m, n*3/4, s))
}

func checkGramOf(e *tensor.Engine, m, n int, s tensor.GramScratch) error {
	rows, host := randomRows(e, m, n)
	defer rows.Buf.Release()
	got, err := e.Gram(rows, s).Wait()
	if err != nil {
		return err
	}
	want := ref.Gram(host, m, rows.Stride, n)
	for i := range m {
		for j := range m {
			d := math.Abs(got[i*m+j]-want[i*m+j]) / math.Sqrt(want[i*m+i]*want[j*m+j])
			if !(d <= 1e-6) {
				return fmt.Errorf("gram of %d rows of %d: entry (%d,%d) is %v, want %v", m, n, i, j, got[i*m+j], want[i*m+j])
			}
		}
	}
	return nil
}

// randomRows uploads m rows of n values.
func randomRows(e *tensor.Engine, m, n int) (tensor.Rows, []float32) {
	ld := (n + 3) / 4 * 4
	stride := (ld + 63) / 64 * 64
	host := make([]float32, m*stride)
	for i := range m {
		copy(host[i*stride:], optest.Random(n, uint64(i+1)))
	}
	t := e.New(gpu.RoleScratch, "self-test rows", 1, len(host))
	e.Upload(t, host)
	return tensor.Rows{Buf: t.Buf, M: m, Stride: stride, R: 1, C: n, LD: ld}, host
}
