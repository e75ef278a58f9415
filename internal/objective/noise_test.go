package objective

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// TestContrasts draws gradients with known means and noise, in unequal halves:
// the estimated error of ⟨g_i, g_j⟩ is that of its spread over draws, at most √2 too
// large, languages without anything in common are seldom within less than two
// errors of it, and a conflict that is far above the noise always is beyond.
func TestContrasts(t *testing.T) {
	const dim, draws, na, nb = 200, 400, 30, 10
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		mean, noise float64 // lengths
		cos         float64
		low, high   float64 // of the share of draws beyond two errors
	}{{0, 1, 0, 0, .2}, {1, 1, 0, 0, .2}, {1, .05, -.5, .97, 1}} {
		spread, estimate, beyond, products := 0.0, 0.0, 0, []float64{}
		for range draws {
			rows := mat.NewDense(4, dim, nil)
			for half := range 4 {
				n := []float64{na, nb}[half%2]
				for k := range dim {
					v := r.NormFloat64() * c.noise * math.Sqrt(n/(na+nb)/dim)
					rows.Set(half, k, v)
				}
				mean := [][2]float64{{c.mean, 0}, {c.mean * c.cos, c.mean * math.Sqrt(1-c.cos*c.cos)}}[half/2]
				for k, v := range mean {
					rows.Set(half, k, rows.At(half, k)+v*n/(na+nb))
				}
			}
			h := mat.NewSymDense(4, nil)
			h.SymOuterK(1, rows)
			d := Contrasts(h, []int{na, nb, na, nb})
			e := float64(d[1]*d[1] + d[2]*d[2])
			g := h.At(0, 2) + h.At(0, 3) + h.At(1, 2) + h.At(1, 3)
			products, estimate = append(products, g), estimate+e/draws
			if math.Abs(g) > 2*math.Sqrt(e) {
				beyond++
			}
		}
		for _, g := range products {
			spread += (g - c.mean*c.mean*c.cos) * (g - c.mean*c.mean*c.cos) / draws
		}
		ratio, share := math.Sqrt(estimate/spread), float64(beyond)/draws
		t.Logf("mean %v, noise %v, cosine %v: error %.2f times the spread, %.0f %% beyond", c.mean, c.noise, c.cos, ratio, 100*share)
		if ratio < .85 || ratio > 1.15*math.Sqrt2 || share < c.low || share > c.high {
			t.Errorf("mean %v, noise %v, cosine %v: estimated error %.2f times the spread; %.2f beyond two errors, want %v … %v", c.mean, c.noise,
				c.cos, ratio, share, c.low, c.high)
		}
	}
	if d := Contrasts(mat.NewSymDense(4, nil), []int{3, 0, 1, 1}); !math.IsNaN(float64(d[1])) || math.IsNaN(float64(d[2])) {
		t.Errorf("contrasts %v with an empty half", d)
	}
}
