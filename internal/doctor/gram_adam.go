package doctor

import (
	"fmt"

	"concord/internal/optest"
	"concord/internal/ref"
	"concord/tensor"
)

// gramAdamTests checks the Gram in the optimizer's metric.
func gramAdamTests() []Test {
	return []Test{{Kernel: "adam_root", Run: func(e *Probe) error {
		const m, n = 11, 257
		rows, host := randomRows(e, m, n)
		defer rows.Buf.Release()
		v := optest.Random(n, 5)
		a := tensor.AdamMetric{Beta2: 0.99, Eps: 1e-8, Step: 3, GradScale: 1}
		for i := range v {
			v[i] *= v[i]
		}
		for range m {
			a.Mean = append(a.Mean, 1/float32(m))
		}
		tv, s, sums := matrix(e, 1, n, v), e.NewGramAdamScratch(m, n), e.NewGramSums(e.GramSumBytes(m, n))
		defer release(tv)
		defer s.Release()
		defer sums.Release()
		g := e.NewGramSum(m, sums)
		g.AddAdam(rows, tv, a, s)
		g.Start()
		got, err := g.Wait()
		if err != nil {
			return err
		}
		return sameAdamGram(e, got, host, m, rows.Stride, n, v, a)
	}}}
}

func sameAdamGram(e *Probe, got []float64, host []float32, m, stride, n int, v []float32, a tensor.AdamMetric) error {
	mean := make([]float32, n)
	ref.Combine(mean, host, stride, a.Mean, false)
	root := ref.AdamRoot(mean, v, a.Beta2, a.Eps, a.GradScale, a.Step)
	dot := func(i, j int) (sum float64) {
		for c := range n {
			sum += float64(host[i*stride+c]) * root[c] * float64(host[j*stride+c]) * root[c]
		}
		return sum
	}
	want := make([]float64, m*m)
	for k := range want {
		want[k] = dot(k/m, k%m)
	}
	if worst, k := e.compareGram(got, want, m); !(worst <= 2e-6) {
		return fmt.Errorf("gram in Adam's metric: entry (%d,%d) is %v, want %v", k/m, k%m, got[k], want[k])
	}
	return nil
}
