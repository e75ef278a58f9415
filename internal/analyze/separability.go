// Package analyze measures how separable languages are in a model's hidden
// states, and how fine-tuning changed that. Pure statistics, float64, no GPU and
// no randomness beyond a fixed seed. The method is ours and is documented in
// docs/analysis.md. Start reading at Measure.
package analyze

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Cloud is one layer's states: one row per example.
type Cloud struct {
	X      [][]float64 // (n, d)
	Labels []int       // language of each row, 0 … M−1
	M      int
}

const (
	folds     = 5
	shrinkage = 0.1  // of the within-language covariance towards a multiple of the identity
	rounds    = 20   // permutations of the labels for the null of η²
	alpha     = 1e-3 // share of dimensions that the null calls specific
	large     = 0.14 // η² of a large effect (Cohen 1988)
	minimum   = 10   // examples of a language
)

// Layer has the figures of one layer's cloud.
type Layer struct {
	Accuracy float64   `json:"accuracy"` // of the linear probe, held out
	Low      float64   `json:"low"`      // 95 % interval (Wilson)
	High     float64   `json:"high"`
	Fisher   float64   `json:"fisher"`           // trace of between- over within-language scatter
	Eta2     []float64 `json:"eta2"`             // by dimension
	Null     float64   `json:"null"`             // η² that chance exceeds with probability alpha
	Large    int       `json:"large"`            // dimensions above both Null and a large effect
	Specific []int     `json:"specific"`         // of these, where one language makes up half of the scatter or more
	ByLang   []int     `json:"by_language"`      // of Specific, how many are each language's
	Means    []float64 `json:"cosines_of_means"` // (M, M) of the centred language means
}

// Measure computes a layer's figures. It fails on fewer than two languages or
// fewer than ten examples of one, and on values that are not finite.
func Measure(c Cloud) (Layer, error) {
	if err := c.check(); err != nil {
		return Layer{}, err
	}
	var out Layer
	right := c.probe()
	n := float64(len(c.X))
	out.Accuracy = right / n
	out.Low, out.High = wilson(right, n)
	out.Eta2, out.Fisher = c.scatter(c.Labels)
	out.Null = c.null()
	out.ByLang = make([]int, c.M)
	for k, e := range out.Eta2 {
		if e <= out.Null || e < large {
			continue
		}
		out.Large++
		if m, share := c.loudest(k); share >= 0.5 {
			out.Specific = append(out.Specific, k)
			out.ByLang[m]++
		}
	}
	out.Means = c.cosinesOfMeans()
	return out, nil
}

func (c Cloud) check() error {
	if c.M < 2 || len(c.X) == 0 || len(c.Labels) != len(c.X) {
		return fmt.Errorf("%d languages, %d examples: two languages at least are needed", c.M, len(c.X))
	}
	count := make([]int, c.M)
	for i, row := range c.X {
		if len(row) != len(c.X[0]) {
			return errors.New("states of different sizes")
		}
		for _, v := range row {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return errors.New("a hidden state is not finite: the model's weights are damaged")
			}
		}
		count[c.Labels[i]]++
	}
	for m, n := range count {
		if n < minimum {
			return fmt.Errorf("language %d has %d examples, at least %d are needed", m, n, minimum)
		}
	}
	return nil
}

// means are the languages' means over the rows that keep, and their numbers.
func (c Cloud) means(keep func(i int) bool) ([][]float64, []float64) {
	d := len(c.X[0])
	mean, n := make([][]float64, c.M), make([]float64, c.M)
	for m := range mean {
		mean[m] = make([]float64, d)
	}
	for i, row := range c.X {
		if !keep(i) {
			continue
		}
		m := c.Labels[i]
		n[m]++
		for k, v := range row {
			mean[m][k] += v
		}
	}
	for m := range mean {
		for k := range mean[m] {
			mean[m][k] /= max(n[m], 1)
		}
	}
	return mean, n
}

func all(int) bool { return true }

// probe is the number of rows that a linear classifier fitted on the other folds
// puts into their language: linear discriminant analysis, the nearest language
// mean under the shared within-language covariance, shrunk. Fold f holds every
// fifth example of each language.
func (c Cloud) probe() float64 {
	fold, seen := make([]int, len(c.X)), make([]int, c.M)
	for i, m := range c.Labels {
		fold[i] = seen[m] % folds
		seen[m]++
	}
	right := 0.0
	for f := range folds {
		mean, _ := c.means(func(i int) bool { return fold[i] != f })
		solve, ok := c.whitening(mean, func(i int) bool { return fold[i] != f })
		if !ok {
			continue // no spread at all: nothing is told apart
		}
		w, bias := make([][]float64, c.M), make([]float64, c.M)
		for m := range c.M {
			w[m] = solve(mean[m])
			bias[m] = -0.5 * dot(w[m], mean[m])
		}
		for i, row := range c.X {
			if fold[i] != f {
				continue
			}
			best := 0
			for m := range c.M {
				if dot(w[m], row)+bias[m] > dot(w[best], row)+bias[best] {
					best = m
				}
			}
			if best == c.Labels[i] {
				right++
			}
		}
	}
	return right
}

// whitening is x ↦ Σ⁻¹x for the shrunk within-language covariance Σ.
func (c Cloud) whitening(mean [][]float64, keep func(i int) bool) (func([]float64) []float64, bool) {
	d := len(c.X[0])
	cov := mat.NewSymDense(d, nil)
	n := 0.0
	diff := mat.NewVecDense(d, nil)
	for i, row := range c.X {
		if !keep(i) {
			continue
		}
		n++
		for k, v := range row {
			diff.SetVec(k, v-mean[c.Labels[i]][k])
		}
		cov.SymRankOne(cov, 1, diff)
	}
	cov.ScaleSym((1-shrinkage)/max(n-float64(c.M), 1), cov)
	trace := mat.Trace(cov) / (1 - shrinkage)
	for k := range d {
		cov.SetSym(k, k, cov.At(k, k)+shrinkage*trace/float64(d))
	}
	var chol mat.Cholesky
	if !(trace > 0) || !chol.Factorize(cov) {
		return nil, false
	}
	return func(x []float64) []float64 {
		var out mat.VecDense
		_ = chol.SolveVecTo(&out, mat.NewVecDense(d, slices.Clone(x))) // shrinkage keeps the condition far from an error
		return out.RawVector().Data
	}, true
}

// scatter is η² by dimension, the share of its variance between languages, and
// the Fisher ratio, for any labels.
func (c Cloud) scatter(labels []int) (eta2 []float64, fisher float64) {
	l := Cloud{c.X, labels, c.M}
	mean, n := l.means(all)
	d := len(c.X[0])
	grand := make([]float64, d)
	for m := range mean {
		for k, v := range mean[m] {
			grand[k] += v * n[m] / float64(len(c.X))
		}
	}
	between, within := make([]float64, d), make([]float64, d)
	for i, row := range c.X {
		mu := mean[labels[i]]
		for k, v := range row {
			within[k] += (v - mu[k]) * (v - mu[k])
			between[k] += (mu[k] - grand[k]) * (mu[k] - grand[k])
		}
	}
	eta2 = make([]float64, d)
	b, w := 0.0, 0.0
	for k := range eta2 {
		b, w = b+between[k], w+within[k]
		if t := between[k] + within[k]; t > 0 {
			eta2[k] = between[k] / t
		}
	}
	if w == 0 {
		return eta2, 0
	}
	return eta2, b / w
}

// null is the η² that a share alpha of all dimensions exceeds when the labels
// are permuted.
func (c Cloud) null() float64 {
	r := rand.New(rand.NewPCG(2606, 5613))
	labels := slices.Clone(c.Labels)
	var pool []float64
	for range rounds {
		r.Shuffle(len(labels), func(i, j int) { labels[i], labels[j] = labels[j], labels[i] })
		eta2, _ := c.scatter(labels)
		pool = append(pool, eta2...)
	}
	slices.Sort(pool)
	return pool[min(len(pool)-1, int(math.Ceil((1-alpha)*float64(len(pool)))))]
}

// loudest is the language that contributes most to the scatter between languages
// in dimension k, and its share of it.
func (c Cloud) loudest(k int) (lang int, share float64) {
	mean, n := c.means(all)
	grand, total, most := 0.0, 0.0, -1.0
	for m := range mean {
		grand += mean[m][k] * n[m] / float64(len(c.X))
	}
	for m := range mean {
		part := n[m] * (mean[m][k] - grand) * (mean[m][k] - grand)
		if total += part; part > most {
			lang, most = m, part
		}
	}
	if total == 0 {
		return 0, 0
	}
	return lang, most / total
}

// cosinesOfMeans compares the languages' means, centred.
func (c Cloud) cosinesOfMeans() []float64 {
	mean, _ := c.means(all)
	for k := range mean[0] {
		grand := 0.0
		for m := range mean {
			grand += mean[m][k] / float64(c.M)
		}
		for m := range mean {
			mean[m][k] -= grand
		}
	}
	out := make([]float64, 0, c.M*c.M)
	for a := range mean {
		for b := range mean {
			x := dot(mean[a], mean[b]) / math.Sqrt(dot(mean[a], mean[a])) / math.Sqrt(dot(mean[b], mean[b]))
			if math.IsNaN(x) {
				x = 0
			}
			out = append(out, x)
		}
	}
	return out
}

func dot(x, y []float64) float64 {
	sum := 0.0
	for i := range x {
		sum += x[i] * y[i]
	}
	return sum
}

// wilson is the 95 % interval of a share (Wilson 1927).
func wilson(k, n float64) (low, high float64) {
	const z = 1.959964
	p := k / n
	mid := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return mid - half, mid + half
}

// CKA is the linear centred kernel alignment of two representations of the same
// examples (Kornblith et al., ICML 2019, arXiv:1905.00414): 1 where they are equal
// up to rotation and scale.
func CKA(x, y [][]float64) float64 {
	a, b := centred(x), centred(y)
	norm := func(m, n *mat.Dense) float64 {
		var p mat.Dense
		p.Mul(m.T(), n)
		f := mat.Norm(&p, 2) // Frobenius
		return f * f
	}
	denominator := math.Sqrt(norm(a, a)) * math.Sqrt(norm(b, b))
	if denominator == 0 {
		return 0
	}
	return norm(a, b) / denominator
}

func centred(x [][]float64) *mat.Dense {
	n, d := len(x), len(x[0])
	out := mat.NewDense(n, d, nil)
	for k := range d {
		mean := 0.0
		for i := range n {
			mean += x[i][k] / float64(n)
		}
		for i := range n {
			out.Set(i, k, x[i][k]-mean)
		}
	}
	return out
}
