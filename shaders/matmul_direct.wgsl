// matmul_direct: out (+)= a · b (NN) or a · bᵀ (NT), by the registers of one invocation
//
// a         (M, K) f32, row stride lda4 vec4, read
// b         (K, N) for NN, (N, K) for NT, of element type B, row stride ldb4 vec4, read
// segments  unused here; the binding keeps all products alike
// out       (M, N) f32, row stride ldc4 vec4, read and write
//
// One invocation owns 16 rows x 4 vec4 columns and reads its operands straight
// from storage: no workgroup memory and no barrier, which CPU rasterizers
// execute slowly. They also load lane by lane, so the tile is as large as the
// text allows: 32 loads pay for 1024 multiply-adds.
// Numerics: f32, k ascending. Rows and columns past the edge are clamped to the
// last one and not stored; the zero padding of a row ends a K that is no
// multiple of 4. Accumulators have constant indices: they must be registers.
// Slice z sums k_begin + z*k_per .. and writes at z*out_stride4 (split K).
// ACCUMULATE 1 adds to out: a constant, as CPU rasterizers run both sides of a branch.
// Dispatch: ceil(ceil(M/16) * ceil(N/16) / WG) workgroups folded over (x, y); z = slices.
// Reference: internal/ref/matmul.go
override TRANS_B: u32 = 0;
override ACCUMULATE: u32 = 0;
override WG: u32 = 32;

//#include matmul

// block is b's 4 rows of k x 4 columns at vec4 column c (NN) or row group c (NT).
fn block(c: u32, k: u32, last: u32) -> mat4x4<f32> {
  if (TRANS_B == 0u) {
    let j = min(c, (p.n - 1u) / 4u);
    return mat4x4<f32>(load4_b(k * p.ldb4 + j), load4_b(min(k + 1u, last) * p.ldb4 + j),
      load4_b(min(k + 2u, last) * p.ldb4 + j), load4_b(min(k + 3u, last) * p.ldb4 + j));
  }
  let end = p.n - 1u;
  let q = k / 4u;
  return transpose(mat4x4<f32>(load4_b(min(c * 4u, end) * p.ldb4 + q), load4_b(min(c * 4u + 1u, end) * p.ldb4 + q),
    load4_b(min(c * 4u + 2u, end) * p.ldb4 + q), load4_b(min(c * 4u + 3u, end) * p.ldb4 + q)));
}

// dot4 adds four terms of k, in order, to four columns.
fn dot4(s: vec4<f32>, x: vec4<f32>, y: mat4x4<f32>) -> vec4<f32> {
  return s + x.x * y[0] + x.y * y[1] + x.z * y[2] + x.w * y[3];
}

// edge zeroes the columns of an NT product past N, where block repeats row N-1.
fn edge(c: u32, v: vec4<f32>) -> vec4<f32> {
  return select(vec4<f32>(), v, vec4<u32>(c * 4u) + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(p.n));
}

// put writes output row r, vec4 column c of the matrix that starts at base.
fn put(base: u32, r: u32, c: u32, value: vec4<f32>) {
  if (r < p.m && c * 4u < p.n) {
    var v = edge(c, value);
    let i = base + r * p.ldc4 + c;
    if (ACCUMULATE != 0u) { v += out[i]; }
    out[i] = v;
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32) {
  let tiles = (p.n + 15u) / 16u;
  let id = (w.x + w.y * groups.x) * WG + t;
  let m0 = (id / tiles) * 16u;
  let c0 = (id % tiles) * 4u;
  if (m0 >= p.m) { return; }
  let begin = p.k_begin + w.z * p.k_per;
  let end = min(p.k_end, begin + p.k_per);
  let i0 = min(m0 + 0u, p.m - 1u) * p.lda4;
  let i1 = min(m0 + 1u, p.m - 1u) * p.lda4;
  let i2 = min(m0 + 2u, p.m - 1u) * p.lda4;
  let i3 = min(m0 + 3u, p.m - 1u) * p.lda4;
  let i4 = min(m0 + 4u, p.m - 1u) * p.lda4;
  let i5 = min(m0 + 5u, p.m - 1u) * p.lda4;
  let i6 = min(m0 + 6u, p.m - 1u) * p.lda4;
  let i7 = min(m0 + 7u, p.m - 1u) * p.lda4;
  let i8 = min(m0 + 8u, p.m - 1u) * p.lda4;
  let i9 = min(m0 + 9u, p.m - 1u) * p.lda4;
  let i10 = min(m0 + 10u, p.m - 1u) * p.lda4;
  let i11 = min(m0 + 11u, p.m - 1u) * p.lda4;
  let i12 = min(m0 + 12u, p.m - 1u) * p.lda4;
  let i13 = min(m0 + 13u, p.m - 1u) * p.lda4;
  let i14 = min(m0 + 14u, p.m - 1u) * p.lda4;
  let i15 = min(m0 + 15u, p.m - 1u) * p.lda4;
  var s: array<vec4<f32>, 64>;
  var y: array<mat4x4<f32>, 4>; // not within the loop: HLSL compilers refuse the zero that naga writes there
  for (var k = begin; k < end; k += 4u) {
    let last = end - 1u;
    let q = k / 4u;
    for (var j = 0u; j < 4u; j += 1u) { y[j] = block(c0 + j, k, last); } // decoders of blocks are long: inlined once
    let y0 = y[0]; let y1 = y[1]; let y2 = y[2]; let y3 = y[3];
    { let x = a[i0 + q]; s[0] = dot4(s[0], x, y0); s[1] = dot4(s[1], x, y1); s[2] = dot4(s[2], x, y2); s[3] = dot4(s[3], x, y3); }
    { let x = a[i1 + q]; s[4] = dot4(s[4], x, y0); s[5] = dot4(s[5], x, y1); s[6] = dot4(s[6], x, y2); s[7] = dot4(s[7], x, y3); }
    { let x = a[i2 + q]; s[8] = dot4(s[8], x, y0); s[9] = dot4(s[9], x, y1); s[10] = dot4(s[10], x, y2); s[11] = dot4(s[11], x, y3); }
    { let x = a[i3 + q]; s[12] = dot4(s[12], x, y0); s[13] = dot4(s[13], x, y1); s[14] = dot4(s[14], x, y2); s[15] = dot4(s[15], x, y3); }
    { let x = a[i4 + q]; s[16] = dot4(s[16], x, y0); s[17] = dot4(s[17], x, y1); s[18] = dot4(s[18], x, y2); s[19] = dot4(s[19], x, y3); }
    { let x = a[i5 + q]; s[20] = dot4(s[20], x, y0); s[21] = dot4(s[21], x, y1); s[22] = dot4(s[22], x, y2); s[23] = dot4(s[23], x, y3); }
    { let x = a[i6 + q]; s[24] = dot4(s[24], x, y0); s[25] = dot4(s[25], x, y1); s[26] = dot4(s[26], x, y2); s[27] = dot4(s[27], x, y3); }
    { let x = a[i7 + q]; s[28] = dot4(s[28], x, y0); s[29] = dot4(s[29], x, y1); s[30] = dot4(s[30], x, y2); s[31] = dot4(s[31], x, y3); }
    { let x = a[i8 + q]; s[32] = dot4(s[32], x, y0); s[33] = dot4(s[33], x, y1); s[34] = dot4(s[34], x, y2); s[35] = dot4(s[35], x, y3); }
    { let x = a[i9 + q]; s[36] = dot4(s[36], x, y0); s[37] = dot4(s[37], x, y1); s[38] = dot4(s[38], x, y2); s[39] = dot4(s[39], x, y3); }
    { let x = a[i10 + q]; s[40] = dot4(s[40], x, y0); s[41] = dot4(s[41], x, y1); s[42] = dot4(s[42], x, y2); s[43] = dot4(s[43], x, y3); }
    { let x = a[i11 + q]; s[44] = dot4(s[44], x, y0); s[45] = dot4(s[45], x, y1); s[46] = dot4(s[46], x, y2); s[47] = dot4(s[47], x, y3); }
    { let x = a[i12 + q]; s[48] = dot4(s[48], x, y0); s[49] = dot4(s[49], x, y1); s[50] = dot4(s[50], x, y2); s[51] = dot4(s[51], x, y3); }
    { let x = a[i13 + q]; s[52] = dot4(s[52], x, y0); s[53] = dot4(s[53], x, y1); s[54] = dot4(s[54], x, y2); s[55] = dot4(s[55], x, y3); }
    { let x = a[i14 + q]; s[56] = dot4(s[56], x, y0); s[57] = dot4(s[57], x, y1); s[58] = dot4(s[58], x, y2); s[59] = dot4(s[59], x, y3); }
    { let x = a[i15 + q]; s[60] = dot4(s[60], x, y0); s[61] = dot4(s[61], x, y1); s[62] = dot4(s[62], x, y2); s[63] = dot4(s[63], x, y3); }
  }
  //#include matmul_direct_store
}
