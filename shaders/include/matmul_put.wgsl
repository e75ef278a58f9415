// put writes output row r, vec4 column c of the matrix that starts at base.
fn put(base: u32, r: u32, c: u32, v: vec4<f32>) {
  if (r < p.m && c * 4u < p.n) {
    let i = base + r * p.ldc4 + c;
    if (ACCUMULATE != 0u) { out[i] = out[i] + v; } else { out[i] = v; }
  }
}
