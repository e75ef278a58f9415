package ref

// Add is out = a + b, element by element; out may be a or b. The twin of
// shaders/add_forward.wgsl and add_inplace.wgsl.
func Add[F float32 | float64](out, a, b []F) {
	for i := range out {
		out[i] = F(float64(a[i]) + float64(b[i]))
	}
}
