// matmul_small: out[z] (+)= op(a) · op(b), a ROWS x 4*COLS tile per invocation
//
// a         (M, K) f32, or (K, M) with TRANS_A, row stride lda4 vec4, read
// b         (K, N) of element type B, or (N, K) with TRANS_B, row stride ldb4 vec4, read
// segments  (objectives + 1) u32: objective z sums k = segments[z] .. segments[z+1]-1, read
// out       (M, N) f32 per z, row stride ldc4 vec4, matrices out_stride4 apart, read and write
//
// As matmul_direct, but with a tile that leaves enough invocations for a small
// output: ROWS 1 (not with TRANS_A), 4 or 8, COLS 1 or 2. The loops over the
// tile have constant bounds, few enough for every driver to unroll.
// Numerics: f32, k ascending. Rows and columns past the edge are clamped, not
// stored; terms past the end of k count as zero.
// ACCUMULATE 1 adds to out: a constant, as CPU rasterizers run both sides of a branch.
// Dispatch: ceil(ceil(M/ROWS) * ceil(N/4/COLS) / WG) workgroups folded over
// (x, y); z = objectives (segmented) or slices of k_begin..k_end (split K).
// Reference: internal/ref/matmul.go
override ROWS: u32 = 8;
override COLS: u32 = 2;
override TRANS_A: u32 = 0;
override TRANS_B: u32 = 0;
override ACCUMULATE: u32 = 0;
override WG: u32 = 32;

//#include matmul
//#include matmul_terms

// rows4 is four terms of k (in x, y, z, w) of four rows of a, the transpose of a block of (K, M).
fn rows4(m4: u32, k: u32, end: u32) -> mat4x4<f32> {
  let c = min(m4, (p.m - 1u) / 4u);
  let last = end - 1u;
  let z = vec4<f32>();
  return transpose(mat4x4<f32>(a[k * p.lda4 + c],
    select(z, a[min(k + 1u, last) * p.lda4 + c], k + 1u < end),
    select(z, a[min(k + 2u, last) * p.lda4 + c], k + 2u < end),
    select(z, a[min(k + 3u, last) * p.lda4 + c], k + 3u < end)));
}

// block is 4 terms of k x the 4 columns of vec4 column c.
fn block(c: u32, k: u32, end: u32) -> mat4x4<f32> {
  let last = end - 1u;
  if (TRANS_B == 0u) {
    let j = min(c, (p.n - 1u) / 4u);
    return mat4x4<f32>(load4_b(k * p.ldb4 + j), load4_b(min(k + 1u, last) * p.ldb4 + j),
      load4_b(min(k + 2u, last) * p.ldb4 + j), load4_b(min(k + 3u, last) * p.ldb4 + j));
  }
  let n = p.n - 1u;
  let q = k / 4u;
  return transpose(mat4x4<f32>(load4_b(min(c * 4u, n) * p.ldb4 + q), load4_b(min(c * 4u + 1u, n) * p.ldb4 + q),
    load4_b(min(c * 4u + 2u, n) * p.ldb4 + q), load4_b(min(c * 4u + 3u, n) * p.ldb4 + q)));
}

// edge zeroes the columns past N, where block of NT repeats row N-1.
fn edge(c: u32, v: vec4<f32>) -> vec4<f32> {
  return select(vec4<f32>(), v, vec4<u32>(c * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(p.n));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32) {
  let tiles = ((p.n + 3u) / 4u + COLS - 1u) / COLS;
  let id = (w.x + w.y * groups.x) * WG + t;
  let m0 = (id / tiles) * ROWS;
  let c0 = (id % tiles) * COLS;
  if (m0 >= p.m) { return; }
  let range = terms(w.z);
  let begin = range.x; let end = range.y;
  var s: array<vec4<f32>, 16>;
  var x: array<vec4<f32>, 8>;
  for (var k = begin; k < end; k += 4u) {
    if (TRANS_A == 0u) {
      for (var i = 0u; i < ROWS; i++) { x[i] = a[min(m0 + i, p.m - 1u) * p.lda4 + k / 4u]; }
    } else {
      let r = rows4(m0 / 4u, k, end);
      x[0] = r[0]; x[1] = r[1]; x[2] = r[2]; x[3] = r[3];
      if (ROWS > 4u) {
        let q = rows4(m0 / 4u + 1u, k, end);
        x[4] = q[0]; x[5] = q[1]; x[6] = q[2]; x[7] = q[3];
      }
    }
    for (var j = 0u; j < COLS; j++) {
      let y = block(c0 + j, k, end);
      for (var i = 0u; i < ROWS; i++) {
        s[i * COLS + j] = s[i * COLS + j] + x[i].x * y[0] + x[i].y * y[1] + x[i].z * y[2] + x[i].w * y[3];
      }
    }
  }
  let base = w.z * p.out_stride4;
  for (var i = 0u; i < ROWS; i++) {
    for (var j = 0u; j < COLS; j++) {
      if (m0 + i < p.m && (c0 + j) * 4u < p.n) {
        let o = base + (m0 + i) * p.ldc4 + c0 + j;
        var v = edge(c0 + j, s[i * COLS + j]);
        if (ACCUMULATE != 0u) { v += out[o]; }
        out[o] = v;
      }
    }
  }
}
