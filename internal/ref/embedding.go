package ref

// Embedding copies row ids[i] of table, (V, c) row-major, to row i of out,
// (len(ids), c); an id outside the table gives zeros. The twin of
// shaders/embedding_forward.wgsl.
func Embedding[F float32 | float64](out, table []F, ids []uint32, c int) {
	for i, id := range ids {
		row := out[i*c : (i+1)*c]
		clear(row)
		if int(id) < len(table)/c {
			copy(row, table[int(id)*c:(int(id)+1)*c])
		}
	}
}

// EmbeddingBackward adds row i of dout, (len(ids), c), to row ids[i] of
// objective m's (vocab, c) matrix in out, where m is the objective that owns
// token i: starts[m] <= i < starts[m+1]. The len(starts)-1 matrices of out follow
// one another; they are cleared first unless accumulate. The twin of
// shaders/embedding_backward.wgsl.
func EmbeddingBackward[F float32 | float64](out, dout []F, ids []uint32, starts []int, vocab, c int, accumulate bool) {
	sum := make([]float64, len(out))
	for m := range len(starts) - 1 {
		for i := starts[m]; i < starts[m+1]; i++ {
			for j := 0; int(ids[i]) < vocab && j < c; j++ {
				sum[(m*vocab+int(ids[i]))*c+j] += float64(dout[i*c+j])
			}
		}
	}
	store(out, sum, accumulate)
}

// store writes, or adds when accumulate, the float64 sums to out.
func store[F float32 | float64](out []F, sum []float64, accumulate bool) {
	for i, s := range sum {
		if accumulate {
			s += float64(out[i])
		}
		out[i] = F(s)
	}
}
