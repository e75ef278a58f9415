package bucket

import (
	"math"

	"gonum.org/v1/gonum/mat"

	"concord/moo"
)

// BucketReport is how one group was resolved.
type BucketReport struct {
	Name    string
	Size    int           // elements, padding included
	G       *mat.SymDense // (M, M) Gram of the objectives' gradients, in Options.Metric; nil where no rows were kept
	Halves  *mat.SymDense // (2M, 2M) Gram of the objectives' halves; nil without Options.Halves
	Weights []float64     // M, as applied (rounded to float32); nil for the direct and element-wise
	Norm2   float64       // squared Euclidean norm of the combined gradient
	// Negative of Pairs pairs of objectives with gradients that are finite and
	// not zero have a negative inner product: they are in conflict.
	Negative, Pairs int
	MinCosine       float64 // the smallest cosine of a pair; 0 without pairs
	NonFinite       []int   // objectives whose gradient holds NaN or Inf

	normed bool // Norm2 is known
}

// Normed says that Norm2 is known.
func (b BucketReport) Normed() bool { return b.normed }

// Report is how a step's groups were resolved.
type Report struct {
	Buckets         []BucketReport // by group
	Norm            float64        // norm of the whole combined gradient
	Negative, Pairs int            // summed over the groups
}

// finish fills the sums over the groups.
func (r *Report) finish() {
	var norm2 float64
	for _, b := range r.Buckets {
		norm2 += b.Norm2
		r.Negative += b.Negative
		r.Pairs += b.Pairs
	}
	r.Norm = math.Sqrt(norm2)
}

// newBucketReport derives the statistics of a resolved group from its Gram. In
// the Euclidean metric |Jᵀ w|² = wᵀ G w, so that the norm costs no pass over the
// gradient.
func newBucketReport(u ResolveGroup, p Problem, s Solution, euclidean bool) BucketReport {
	c := moo.Conflicts(p.G)
	r := BucketReport{Name: u.Name, Size: u.Size, G: p.G, Halves: p.Halves, Weights: s.Weights, Negative: c.Negative, Pairs: c.Pairs,
		MinCosine: c.MinCosine}
	for i := range p.G.SymmetricDim() {
		if !finite(p.G.At(i, i)) {
			r.NonFinite = append(r.NonFinite, i)
		}
	}
	if euclidean && s.Weights != nil {
		r.Norm2, r.normed = norm2(p.G, s.Weights), true
	}
	return r
}

// norm2 is wᵀ G w over the weights that are not zero. Opposed gradients
// that cancel can round to less than 0, which is returned as 0.
func norm2(g *mat.SymDense, w []float64) float64 {
	sum := 0.0
	for i := range w {
		for j := range w {
			if w[i] != 0 && w[j] != 0 {
				sum += w[i] * w[j] * g.At(i, j)
			}
		}
	}
	return max(0, sum)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
