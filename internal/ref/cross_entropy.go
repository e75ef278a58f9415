package ref

import "math"

// Ignored is the label of a token without loss.
const Ignored uint32 = 0xffffffff

// CrossEntropy replaces the rows of logits, (R, vocab) row-major, by
// (softmax - onehot(label))·scale when writeGrad, and sets their losses,
// log Σexp(z) - z[label]. Row r belongs to token row0+r of labels, scale and
// loss. An ignored token has loss 0 and gradient 0; a label outside the
// vocabulary or a logit that is not finite makes the loss NaN. scale is not read
// without writeGrad. cap > 0 stands for the logits c·tanh(logits/c). The twin of shaders/cross_entropy.wgsl.
func CrossEntropy[F float32 | float64](logits, loss []F, labels []uint32, scale []F, row0, vocab int, cap float64, writeGrad bool) {
	for r := range len(logits) / vocab {
		row, k := logits[r*vocab:(r+1)*vocab], row0+r
		z := make([]float64, vocab)
		for c, x := range row {
			z[c] = softCap(float64(x), cap)
		}
		lse := logSumExp(z)
		switch y := labels[k]; {
		case y == Ignored:
			loss[k] = 0
		case int(y) >= vocab || notFinite(row):
			loss[k] = F(math.NaN())
		default:
			loss[k] = F(lse - z[y])
		}
		if !writeGrad {
			continue
		}
		for c := range z {
			g := math.Exp(z[c] - lse)
			if c == int(labels[k]) {
				g--
			}
			if row[c] = F(g * float64(scale[k]) * softCapSlope(float64(row[c]), cap)); labels[k] == Ignored {
				row[c] = 0
			}
		}
	}
}

func notFinite[F float32 | float64](z []F) bool {
	for _, v := range z {
		if math.IsInf(float64(v), 0) || math.IsNaN(float64(v)) {
			return true
		}
	}
	return false
}

// logSumExp is log Σexp(z), NaN when an element is NaN.
func logSumExp[F float32 | float64](z []F) float64 {
	top, s := math.Inf(-1), 0.0
	for _, v := range z {
		top = math.Max(top, float64(v)) // NaN wins
	}
	for _, v := range z {
		s += math.Exp(float64(v) - top)
	}
	return top + math.Log(s)
}

// LinearCrossEntropy is CrossEntropy of x·weightᵀ, x (N, c), weight (vocab, c),
// and its gradients: dx (N, c), overwritten, and per objective m dweight
// (vocab, c) from the tokens starts[m] .. starts[m+1]-1, added when accumulate.
// dx or dweight may be nil.
func LinearCrossEntropy[F float32 | float64](x, weight []F, labels []uint32, scale, loss, dx, dweight []F, starts []int, c int,
	accumulate bool) {
	n, vocab := len(labels), len(weight)/c
	dw := make([]float64, len(dweight))
	z := make([]float64, vocab)
	one := make([]float64, 1)
	for i := range n {
		for v := range z {
			z[v] = dot(x[i*c:(i+1)*c], weight[v*c:(v+1)*c])
		}
		g := []float64{0}
		if scale != nil {
			g[0] = float64(scale[i])
		}
		CrossEntropy(z, one, labels[i:i+1], g, 0, vocab, 0, true)
		loss[i] = F(one[0])
		m := 0
		for m+2 < len(starts) && i >= starts[m+1] {
			m++
		}
		for j := range c {
			var s float64
			for v := range z {
				s += z[v] * float64(weight[v*c+j])
				if dweight != nil {
					dw[(m*vocab+v)*c+j] += z[v] * float64(x[i*c+j])
				}
			}
			if dx != nil {
				dx[i*c+j] = F(s)
			}
		}
	}
	store(dweight, dw, accumulate)
}

func dot[F float32 | float64](a, b []F) float64 {
	var s float64
	for i := range a {
		s += float64(a[i]) * float64(b[i])
	}
	return s
}
