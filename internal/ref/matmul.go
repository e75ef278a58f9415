package ref

// MatMul computes out (m, n) = op(a) · op(b), or adds it when accumulate, with
// k terms per element. a is (m, k), or (k, m) with transA; b is (k, n), or
// (n, k) with transB; all row-major. The twin of shaders/matmul_*.wgsl.
func MatMul[F float32 | float64](out, a, b []F, m, n, k int, transA, transB, accumulate bool) {
	sum := make([]float64, m*n)
	for i := range m {
		for t := range k {
			x := a[index(i, t, m, k, transA)]
			for j := range n {
				sum[i*n+j] += float64(x) * float64(b[index(t, j, k, n, transB)])
			}
		}
	}
	store(out, sum, accumulate)
}

// MatMulSegmented computes for each objective m the (r, c) matrix
// aᵀ · b over the rows starts[m] .. starts[m+1]-1 of a (N, r) and b (N, c), and
// writes it to matrix m of out, or adds it when accumulate. No rows give zeros.
func MatMulSegmented[F float32 | float64](out, a, b []F, r, c int, starts []int, accumulate bool) {
	for m := range len(starts) - 1 {
		lo, hi := starts[m], starts[m+1]
		MatMul(out[m*r*c:(m+1)*r*c], a[lo*r:hi*r], b[lo*c:hi*c], r, c, hi-lo, true, false, accumulate)
	}
}

// index of element (i, j) of an (r, c) matrix, stored as (c, r) when transposed.
func index(i, j, r, c int, transposed bool) int {
	if transposed {
		return j*r + i
	}
	return i*c + j
}
