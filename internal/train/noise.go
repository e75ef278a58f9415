package train

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"concord/bucket"
	"concord/internal/report"
)

// Two halves of a language's tokens give two independent samples of its
// gradient. Their inner product estimates |E g|² without bias, where |g|² of the
// whole batch is too large by the gradient's variance: what looks like a long
// gradient may be mostly noise. (The cross terms between languages are free of
// that bias already, as the languages' samples are independent.)

// debias returns p.G with its diagonal multiplied by each language's share of
// signal, an exponential mean over the steps, at least noise.floor.
func (o *objective) debias(p bucket.Problem, u *unitState) *mat.SymDense {
	m := p.G.SymmetricDim()
	if u.Signal == nil {
		u.Signal = make([]float64, m)
	}
	out := mat.NewSymDense(m, nil)
	out.CopySym(p.G)
	for i := range m {
		if s, ok := o.signal(p, i); ok {
			if u.Signal[i] != 0 {
				s = o.cfg.Noise.EMA*u.Signal[i] + (1-o.cfg.Noise.EMA)*s
			}
			u.Signal[i] = s
		}
		if u.Signal[i] != 0 {
			out.SetSym(i, i, p.G.At(i, i)*min(1, max(o.cfg.Noise.Floor, u.Signal[i])))
		}
	}
	return out
}

// signal is ⟨ḡ_a, ḡ_b⟩/|g|² of language i, ḡ the mean gradients of its halves:
// rows a and b are sums over the halves' shares of the tokens. false where a
// half has no tokens or the gradient is zero or not finite.
func (o *objective) signal(p bucket.Problem, i int) (float64, bool) {
	a, b := o.halves[2*i], o.halves[2*i+1]
	if a == 0 || b == 0 || !(p.G.At(i, i) > 0) {
		return 0, false
	}
	n := float64(a + b)
	s := p.Halves.At(2*i, 2*i+1) * n / float64(a) * n / float64(b) / p.G.At(i, i)
	return s, !math.IsNaN(s) && !math.IsInf(s, 0) && s != 0
}

// selfCosines is the cosine between the halves of every language, NaN where one
// of them is empty.
func selfCosines(halves *mat.SymDense) []report.Float {
	var out []report.Float
	for i := range halves.SymmetricDim() / 2 {
		a, b := halves.At(2*i, 2*i), halves.At(2*i+1, 2*i+1)
		c := halves.At(2*i, 2*i+1) / math.Sqrt(a) / math.Sqrt(b)
		out = append(out, report.Float(min(1, max(-1, c)))) // NaN stays NaN
	}
	return out
}
