package ref

// Vocabulary is the gradients of a matrix (v, c) by objective, of its use as a head, unless x
// is nil, whose logits' gradients are softmax - onehot times scale, and as an embedding, unless d
// is nil: m·v·c float64 values. The twin of shaders/logits_gradient.wgsl and
// shaders/token_gather.wgsl, which take inner products and weighted sums of them.
func Vocabulary(x, weight []float32, labels []uint32, scale []float32, ids []uint32, d []float32, starts []int, v, c int) []float64 {
	out := make([]float64, (len(starts)-1)*v*c)
	wide := func(a []float32) []float64 {
		b := make([]float64, len(a))
		for i := range a {
			b[i] = float64(a[i])
		}
		return b
	}
	if x != nil {
		loss := make([]float64, len(labels))
		LinearCrossEntropy(wide(x), wide(weight), labels, wide(scale), loss, nil, out, starts, c, false)
	}
	for m := range len(starts) - 1 {
		for s := starts[m]; s < starts[m+1] && d != nil; s++ {
			for k := range c {
				out[(m*v+int(ids[s]))*c+k] += float64(d[s*c+k])
			}
		}
	}
	return out
}
