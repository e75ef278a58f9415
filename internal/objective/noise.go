package objective

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"concord/bucket"
	"concord/internal/report"
)

// Two halves of a language's tokens give two independent samples of its
// gradient. Their inner product estimates |E g|² without bias, where |g|² of the
// whole batch is too large by the gradient's variance: a vector that looks like a long
// gradient may be mostly noise. (The cross terms between languages are free of
// that bias already, as the languages' samples are independent.)

// debias returns p.G with its diagonal multiplied by each language's share of
// signal, an exponential mean over the steps, at least noise.floor.
func (o *Objective) debias(p bucket.Problem, u *groupState) *mat.SymDense {
	m := p.G.SymmetricDim()
	if u.Signal == nil {
		u.Signal = make([]float64, m)
	}
	out := mat.NewSymDense(m, nil)
	out.CopySym(p.G)
	for i := range m {
		if s, ok := o.signal(p, i); ok {
			if u.Signal[i] != 0 {
				s = o.opt.Noise.EMA*u.Signal[i] + (1-o.opt.Noise.EMA)*s
			}
			u.Signal[i] = s
		}
		if u.Signal[i] != 0 {
			out.SetSym(i, i, p.G.At(i, i)*min(1, max(o.opt.Noise.Floor, u.Signal[i])))
		}
	}
	return out
}

// signal is ⟨ḡ_a, ḡ_b⟩/|g|² of language i, ḡ the mean gradients of its halves:
// rows a and b are sums over the halves' shares of the tokens. false where a
// half has no tokens or the gradient is zero or not finite.
func (o *Objective) signal(p bucket.Problem, i int) (float64, bool) {
	a, b := o.halves[2*i], o.halves[2*i+1]
	if a == 0 || b == 0 || !(p.G.At(i, i) > 0) {
		return 0, false
	}
	n := float64(a + b)
	s := p.Halves.At(2*i, 2*i+1) * n / float64(a) * n / float64(b) / p.G.At(i, i)
	return s, !math.IsNaN(s) && !math.IsInf(s, 0) && s != 0
}

// SelfCosines is the cosine between the halves of every language, NaN where one
// of them is empty.
func SelfCosines(halves *mat.SymDense) []report.Float {
	var out []report.Float
	for i := range halves.SymmetricDim() / 2 {
		a, b := halves.At(2*i, 2*i), halves.At(2*i+1, 2*i+1)
		c := halves.At(2*i, 2*i+1) / math.Sqrt(a) / math.Sqrt(b)
		out = append(out, report.Float(min(1, max(-1, c)))) // NaN stays NaN
	}
	return out
}

// Contrasts is ⟨d_i, g_j⟩, M·M values row by row, where d_i is the difference of
// language i's halves in shares such that their common part cancels and
// d_i has the variance of g_i: with n_a and n_b tokens,
// d = √(n_b/n_a) a − √(n_a/n_b) b. NaN where a half is empty.
//
// ⟨g_i, g_j⟩ over draws of the tokens has the variance μ_jᵀΣ_iμ_j + μ_iᵀΣ_jμ_i +
// tr Σ_iΣ_j, and ⟨d_i, g_j⟩² + ⟨g_i, d_j⟩² estimates it with the trace twice: an
// error of the cosine that is rather too large than too small.
func Contrasts(halves *mat.SymDense, tokens []int) []report.Float {
	m := halves.SymmetricDim() / 2
	out := make([]report.Float, 0, m*m)
	for i := range m {
		root := math.Sqrt(float64(tokens[2*i+1]) / float64(tokens[2*i]))
		for j := range m {
			a := halves.At(2*i, 2*j) + halves.At(2*i, 2*j+1)
			b := halves.At(2*i+1, 2*j) + halves.At(2*i+1, 2*j+1)
			v := root*a - b/root
			if tokens[2*i] == 0 || tokens[2*i+1] == 0 {
				v = math.NaN()
			}
			out = append(out, report.Float(v))
		}
	}
	return out
}
