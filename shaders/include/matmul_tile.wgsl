// Loads of op(a) and op(b) into xs and ys, [BK][T4] in workgroup memory, which the kernel declares.
//#include matmul_put

const BK: u32 = 16u; // terms of k per round

// at_a is a's vec4 c of row r, or zero outside rows x cols.
fn at_a(r: u32, c: u32, rows: u32, cols: u32) -> vec4<f32> {
  if (r < rows && c * 4u < cols) { return a[r * p.lda4 + c]; }
  return vec4<f32>();
}

// at_b is at_a for b.
fn at_b(r: u32, c: u32, rows: u32, cols: u32) -> vec4<f32> {
  if (r < rows && c * 4u < cols) { return load4_b(r * p.ldb4 + c); }
  return vec4<f32>();
}

// load_a moves 4 terms of k x 4 rows of op(a), transposing in registers when k is contiguous.
fn load_a(g: u32, q: u32, m0: u32, k: u32, end: u32) {
  var v: mat4x4<f32>;
  if (TRANS_A == 0u) {
    let r = m0 + g * 4u;
    let c = k / 4u + q;
    v = transpose(mat4x4<f32>(at_a(r, c, p.m, end), at_a(r + 1u, c, p.m, end),
      at_a(r + 2u, c, p.m, end), at_a(r + 3u, c, p.m, end)));
  } else {
    let r = k + q * 4u;
    let c = m0 / 4u + g;
    v = mat4x4<f32>(at_a(r, c, end, p.m), at_a(r + 1u, c, end, p.m),
      at_a(r + 2u, c, end, p.m), at_a(r + 3u, c, end, p.m));
  }
  let i = q * 4u * T4 + g;
  xs[i] = v[0]; xs[i + T4] = v[1]; xs[i + 2u * T4] = v[2]; xs[i + 3u * T4] = v[3];
}

// load_b is load_a for op(b).
fn load_b(g: u32, q: u32, n0: u32, k: u32, end: u32) {
  var v: mat4x4<f32>;
  if (TRANS_B == 1u) {
    let r = n0 + g * 4u;
    let c = k / 4u + q;
    v = transpose(mat4x4<f32>(at_b(r, c, p.n, end), at_b(r + 1u, c, p.n, end),
      at_b(r + 2u, c, p.n, end), at_b(r + 3u, c, p.n, end)));
  } else {
    let r = k + q * 4u;
    let c = n0 / 4u + g;
    v = mat4x4<f32>(at_b(r, c, end, p.n), at_b(r + 1u, c, end, p.n),
      at_b(r + 2u, c, end, p.n), at_b(r + 3u, c, end, p.n));
  }
  let i = q * 4u * T4 + g;
  ys[i] = v[0]; ys[i + T4] = v[1]; ys[i + 2u * T4] = v[2]; ys[i + 3u * T4] = v[3];
}
