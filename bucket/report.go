package bucket

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"concord/moo"
)

// BucketReport is how one bucket was resolved.
type BucketReport struct {
	Name    string
	Size    int           // elements, padding included
	G       *mat.SymDense // (M, M) Gram of the objectives' gradients; nil where no rows were kept
	Weights []float64     // M, as applied (rounded to float32); nil where no rows were kept
	Norm2   float64       // squared norm of the combined gradient
	// Negative of Pairs pairs of objectives with gradients that are finite and
	// not zero have a negative inner product: they are in conflict.
	Negative, Pairs int
	MinCosine       float64 // the smallest cosine of a pair; 0 without pairs
	NonFinite       []int   // objectives whose gradient holds NaN or Inf
}

// Report is how a step's buckets were resolved.
type Report struct {
	Buckets         []BucketReport
	Norm            float64 // norm of the whole combined gradient
	Negative, Pairs int     // summed over the buckets
}

// finish fills the sums over the buckets.
func (r *Report) finish() {
	var norm2 float64
	for _, b := range r.Buckets {
		norm2 += b.Norm2
		r.Negative += b.Negative
		r.Pairs += b.Pairs
	}
	r.Norm = math.Sqrt(norm2)
}

// newBucketReport derives the statistics of a resolved bucket from its Gram:
// |Jᵀ w|² = wᵀ G w, so that the norm costs no pass over the gradient.
func newBucketReport(name string, size int, g *mat.SymDense, weights []float64) BucketReport {
	c := moo.Conflicts(g)
	r := BucketReport{Name: name, Size: size, G: g, Weights: weights, Negative: c.Negative, Pairs: c.Pairs, MinCosine: c.MinCosine}
	m := g.SymmetricDim()
	for i := range m {
		if !finite(g.At(i, i)) {
			r.NonFinite = append(r.NonFinite, i)
		}
		for j := range m {
			if weights[i] != 0 && weights[j] != 0 {
				r.Norm2 += weights[i] * weights[j] * g.At(i, j)
			}
		}
	}
	if r.Norm2 < 0 { // opposed gradients that cancel, up to rounding
		r.Norm2 = 0
	}
	return r
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
