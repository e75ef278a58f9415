// matmul_direct_tn: out[z] (+)= a[range z]ᵀ · b[range z], by the registers of one invocation
//
// a         (K, M) f32, row stride lda4 vec4, read
// b         (K, N) of element type B, row stride ldb4 vec4, read
// segments  (objectives + 1) u32: objective z sums rows segments[z] .. segments[z+1]-1, read
// out       (M, N) f32 per z, row stride ldc4 vec4, matrices out_stride4 apart, read and write
//
// One invocation owns 16 rows x 4 vec4 columns. A step of k is an outer product
// of 4 vec4 of a with 4 vec4 of b, both contiguous: 8 loads, 256 multiply-adds.
// No workgroup memory, see matmul_direct. An empty range gives zeros.
// Numerics: f32, k ascending. Columns past the edge are clamped, not stored.
// ACCUMULATE 1 adds to out: a constant, as CPU rasterizers run both sides of a branch.
// Dispatch: ceil(ceil(M/16) * ceil(N/16) / WG) workgroups folded over (x, y);
// z = objectives (segmented) or slices of k_begin..k_end (split K).
// Reference: internal/ref/matmul.go
override ACCUMULATE: u32 = 0;
override WG: u32 = 32;

//#include matmul
//#include matmul_terms

//#include matmul_put

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32) {
  let tiles = (p.n + 15u) / 16u;
  let id = (w.x + w.y * groups.x) * WG + t;
  let m0 = (id / tiles) * 16u;
  let c0 = (id % tiles) * 4u;
  if (m0 >= p.m) { return; }
  let range = terms(w.z);
  let begin = range.x; let end = range.y;
  let r = m0 / 4u;
  let i0 = min(r, (p.m - 1u) / 4u); let i1 = min(r + 1u, (p.m - 1u) / 4u); let i2 = min(r + 2u, (p.m - 1u) / 4u); let i3 = min(r + 3u, (p.m - 1u) / 4u);
  let j0 = min(c0, (p.n - 1u) / 4u); let j1 = min(c0 + 1u, (p.n - 1u) / 4u); let j2 = min(c0 + 2u, (p.n - 1u) / 4u); let j3 = min(c0 + 3u, (p.n - 1u) / 4u);
  var s: array<vec4<f32>, 64>;
  for (var k = begin; k < end; k++) {
    let ka = k * p.lda4;
    let kb = k * p.ldb4;
    let x0 = a[ka + i0]; let x1 = a[ka + i1]; let x2 = a[ka + i2]; let x3 = a[ka + i3];
    let y0 = load4_b(kb + j0); let y1 = load4_b(kb + j1); let y2 = load4_b(kb + j2); let y3 = load4_b(kb + j3);
    s[0] += x0.x * y0; s[1] += x0.x * y1; s[2] += x0.x * y2; s[3] += x0.x * y3;
    s[4] += x0.y * y0; s[5] += x0.y * y1; s[6] += x0.y * y2; s[7] += x0.y * y3;
    s[8] += x0.z * y0; s[9] += x0.z * y1; s[10] += x0.z * y2; s[11] += x0.z * y3;
    s[12] += x0.w * y0; s[13] += x0.w * y1; s[14] += x0.w * y2; s[15] += x0.w * y3;
    s[16] += x1.x * y0; s[17] += x1.x * y1; s[18] += x1.x * y2; s[19] += x1.x * y3;
    s[20] += x1.y * y0; s[21] += x1.y * y1; s[22] += x1.y * y2; s[23] += x1.y * y3;
    s[24] += x1.z * y0; s[25] += x1.z * y1; s[26] += x1.z * y2; s[27] += x1.z * y3;
    s[28] += x1.w * y0; s[29] += x1.w * y1; s[30] += x1.w * y2; s[31] += x1.w * y3;
    s[32] += x2.x * y0; s[33] += x2.x * y1; s[34] += x2.x * y2; s[35] += x2.x * y3;
    s[36] += x2.y * y0; s[37] += x2.y * y1; s[38] += x2.y * y2; s[39] += x2.y * y3;
    s[40] += x2.z * y0; s[41] += x2.z * y1; s[42] += x2.z * y2; s[43] += x2.z * y3;
    s[44] += x2.w * y0; s[45] += x2.w * y1; s[46] += x2.w * y2; s[47] += x2.w * y3;
    s[48] += x3.x * y0; s[49] += x3.x * y1; s[50] += x3.x * y2; s[51] += x3.x * y3;
    s[52] += x3.y * y0; s[53] += x3.y * y1; s[54] += x3.y * y2; s[55] += x3.y * y3;
    s[56] += x3.z * y0; s[57] += x3.z * y1; s[58] += x3.z * y2; s[59] += x3.z * y3;
    s[60] += x3.w * y0; s[61] += x3.w * y1; s[62] += x3.w * y2; s[63] += x3.w * y3;
  }
  //#include matmul_direct_store
}
