package doctor

import (
	"errors"
	"fmt"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// gramTests checks the Gram kernels: one block of rows, blocks against blocks (where
// the device is a GPU by gram_tile, as gram_cross is for software rasterizers), and
// enough columns to fold partial sums.
func gramTests() []Test {
	return []Test{
		{"gram", func(e *Probe) error { return checkGram(e, 7, 257) }},
		{"gram_cross", func(e *Probe) error { return checkGram(e, 11, 257) }},
		{"gram_tile", func(e *Probe) error { return checkGram(e.asGPU(), 35, 257) }},
		{"gram_fold", func(e *Probe) error {
			return errors.Join(checkGram(e, 3, 100003), checkGram(e, 2, 1<<20), checkGram(e, 9, 200003))
		}},
	}
}

// checkGram uses one scratch for rows of two lengths, as the buckets of a model do.
func checkGram(e *Probe, m, n int) error {
	s := e.NewGramScratch(m, n)
	defer s.Release()
	return errors.Join(checkGramOf(e, m, n, s), checkGramOf(e, m, n*3/4, s))
}

func checkGramOf(e *Probe, m, n int, s tensor.GramScratch) error {
	rows, host := randomRows(e, m, n)
	defer rows.Buf.Release()
	got, err := e.Gram(rows, s).Wait()
	if err != nil {
		return err
	}
	want := ref.Gram(host, m, rows.Stride, n)
	if worst, k := e.compareGram(got, want, m); !(worst <= 1e-6) {
		return fmt.Errorf("gram of %d rows of %d: entry (%d,%d) is %v, want %v", m, n, k/m, k%m, got[k], want[k])
	}
	return nil
}

// randomRows uploads m rows of n values.
func randomRows(e *Probe, m, n int) (tensor.TaskGrads, []float32) {
	ld := (n + 3) / 4 * 4
	stride := (ld + 63) / 64 * 64
	host := make([]float32, m*stride)
	for i := range m {
		copy(host[i*stride:], optest.Random(n, uint64(i+1)))
	}
	t := e.New(gpu.RoleScratch, "self-test rows", 1, len(host))
	e.Upload(t, host)
	return tensor.TaskGrads{Buf: t.Buf, M: m, Stride: stride, R: 1, C: n, LD: ld}, host
}
