package tensor

import (
	"fmt"
	"math"
	"testing"

	"concord/gpu"
	"concord/internal/optest"
	"concord/internal/ref"
)

// adamGram is the Gram in the metric, in float64.
func adamGram(host []float32, m, stride, n int, v []float32, a AdamMetric) []float64 {
	mean := make([]float32, n)
	ref.Combine(mean, host, stride, a.Mean, false)
	root := ref.AdamRoot(mean, v, a.Beta2, a.Eps, a.GradScale, a.Step)
	out := make([]float64, m*m)
	for i := range m {
		for j := range m {
			for c := range n {
				out[i*m+j] += float64(host[i*stride+c]) * root[c] * float64(host[j*stride+c]) * root[c]
			}
		}
	}
	return out
}

func TestGramAdam(t *testing.T) {
	e := testEngine(t)
	for _, m := range []int{1, 2, 8, 9, 33, 64} {
		for _, n := range []int{1, 3, 257, 4099} {
			for _, step := range []int64{1, 100} {
				rows, host := testRows(e, m, n, 1)
				v := optest.Random(n, 5)
				for i := range v {
					v[i] *= v[i] * 1e-4
					if i%7 == 0 && m <= 2 { // never updated: D is then the inverse of a mean that cancels the worse the more rows there are
						v[i] = 0
					}
				}
				a := AdamMetric{Beta2: 0.99, Eps: 1e-8, Step: step, GradScale: 0.5}
				for range m {
					a.Mean = append(a.Mean, 1/float32(m))
				}
				s, sums := e.NewGramAdamScratch(m, n), e.NewGramSums(2*e.GramSumBytes(m, n))
				tv := upload(e, 1, n, v)
				run := func() []float64 {
					g := e.NewGramSum(m, sums)
					g.AddAdam(rows, tv, a, s)
					g.Start()
					got, err := g.Wait()
					if err != nil {
						t.Fatal(err)
					}
					return got
				}
				got := run()
				if d := gramError(got, adamGram(host, m, rows.Stride, n, v, a), m); d > 1e-5 { // D amplifies the rounding of a mean that cancels
					t.Errorf("M=%d n=%d step %d: relative error %.3g", m, n, step, d)
				}
				if again := run(); fmt.Sprint(again) != fmt.Sprint(got) {
					t.Errorf("M=%d n=%d: other bits the second time", m, n)
				}
				for _, x := range []*gpu.Buffer{rows.Buf, tv.Buf} {
					x.Release()
				}
				s.Release()
				sums.Release()
			}
		}
	}
}

// A language with NaN damages its own row and column alone: the others' entries
// are those without the damaged value, also at the first step, where a value that
// counted as never seen would outweigh all others.
func TestGramAdamNaN(t *testing.T) {
	e := testEngine(t)
	const m, n = 3, 100
	rows, host := testRows(e, m, n, 1)
	host[rows.Stride+17] = float32(math.NaN())
	rows.Buf = upload(e, 1, len(host), host).Buf
	g := e.NewGramSum(m, e.NewGramSums(e.GramSumBytes(m, n)))
	second := make([]float32, n)
	v := upload(e, 1, n, second)
	metric := AdamMetric{Beta2: 0.9, Eps: 1e-8, Step: 1, GradScale: 1, Mean: []float32{.3, .3, .4}}
	g.AddAdam(rows, v, metric, e.NewGramAdamScratch(m, n))
	g.Start()
	got, err := g.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for k := range m {
		host[k*rows.Stride+17] = 0
	}
	want := adamGram(host, m, rows.Stride, n, second, metric)
	for i := range m {
		for j := range m {
			if bad := math.IsNaN(got[i*m+j]); bad != (i == 1 || j == 1) {
				t.Errorf("entry (%d,%d) is %v", i, j, got[i*m+j])
			}
			if i != 1 && j != 1 && math.Abs(got[i*m+j]-want[i*m+j]) > 1e-5*math.Sqrt(want[i*m+i]*want[j*m+j]) {
				t.Errorf("entry (%d,%d) is %v, want %v", i, j, got[i*m+j], want[i*m+j])
			}
		}
	}
}

// TestGramSum adds Grams of rows of different lengths.
func TestGramSum(t *testing.T) {
	e := testEngine(t)
	for _, m := range []int{1, 3, 9, 64} {
		want, bytes, lengths := make([]float64, m*m), int64(0), []int{257, 3, 5000}
		for _, n := range lengths {
			bytes += e.GramSumBytes(m, n)
		}
		g, s := e.NewGramSum(m, e.NewGramSums(bytes)), e.NewGramScratch(m, 5000)
		for k, n := range lengths {
			rows, host := testRows(e, m, n, uint64(k))
			for i, x := range ref.Gram(host, m, rows.Stride, n) {
				want[i] += x
			}
			g.Add(rows, s)
		}
		g.Start()
		got, err := g.Wait()
		if err != nil {
			t.Fatal(err)
		}
		if d := gramError(got, want, m); d > 1e-6 {
			t.Errorf("M=%d: relative error %.3g", m, d)
		}
	}
}
