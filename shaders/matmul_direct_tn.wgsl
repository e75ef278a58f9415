// matmul_direct_tn: out[z] (+)= a[range z]ᵀ · b[range z], by the registers of one invocation
//
// a         (K, M) f32, row stride lda4 vec4, read
// b         (K, N) f32, row stride ldb4 vec4, read
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

struct Params {
  m: u32, n: u32,           // shape of out
  k_begin: u32, k_end: u32, // terms of the sum, k_begin a multiple of 4 (NN, NT)
  lda4: u32, ldb4: u32, ldc4: u32, // row strides in vec4
  segmented: u32,           // 1: grid z is an objective, its range of k in segments
  k_per: u32,               // terms per slice of grid z, a multiple of 4
  out_stride4: u32,         // vec4 between the matrices of grid z
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

// put writes output row r, vec4 column c of the matrix that starts at base.
fn put(base: u32, r: u32, c: u32, v: vec4<f32>) {
  if (r < p.m && c * 4u < p.n) {
    let i = base + r * p.ldc4 + c;
    if (ACCUMULATE != 0u) { out[i] = out[i] + v; } else { out[i] = v; }
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
  var begin = p.k_begin + w.z * p.k_per;
  var end = min(p.k_end, begin + p.k_per);
  if (p.segmented != 0u) {
    begin = segments[w.z];
    end = segments[w.z + 1u];
  }
  let r = m0 / 4u;
  let i0 = min(r, (p.m - 1u) / 4u); let i1 = min(r + 1u, (p.m - 1u) / 4u); let i2 = min(r + 2u, (p.m - 1u) / 4u); let i3 = min(r + 3u, (p.m - 1u) / 4u);
  let j0 = min(c0, (p.n - 1u) / 4u); let j1 = min(c0 + 1u, (p.n - 1u) / 4u); let j2 = min(c0 + 2u, (p.n - 1u) / 4u); let j3 = min(c0 + 3u, (p.n - 1u) / 4u);
  var s: array<vec4<f32>, 64>;
  for (var k = begin; k < end; k++) {
    let ka = k * p.lda4;
    let kb = k * p.ldb4;
    let x0 = a[ka + i0]; let x1 = a[ka + i1]; let x2 = a[ka + i2]; let x3 = a[ka + i3];
    let y0 = b[kb + j0]; let y1 = b[kb + j1]; let y2 = b[kb + j2]; let y3 = b[kb + j3];
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
  let base = w.z * p.out_stride4;
  put(base, m0 + 0u, c0, s[0]); put(base, m0 + 0u, c0 + 1u, s[1]); put(base, m0 + 0u, c0 + 2u, s[2]); put(base, m0 + 0u, c0 + 3u, s[3]);
  put(base, m0 + 1u, c0, s[4]); put(base, m0 + 1u, c0 + 1u, s[5]); put(base, m0 + 1u, c0 + 2u, s[6]); put(base, m0 + 1u, c0 + 3u, s[7]);
  put(base, m0 + 2u, c0, s[8]); put(base, m0 + 2u, c0 + 1u, s[9]); put(base, m0 + 2u, c0 + 2u, s[10]); put(base, m0 + 2u, c0 + 3u, s[11]);
  put(base, m0 + 3u, c0, s[12]); put(base, m0 + 3u, c0 + 1u, s[13]); put(base, m0 + 3u, c0 + 2u, s[14]); put(base, m0 + 3u, c0 + 3u, s[15]);
  put(base, m0 + 4u, c0, s[16]); put(base, m0 + 4u, c0 + 1u, s[17]); put(base, m0 + 4u, c0 + 2u, s[18]); put(base, m0 + 4u, c0 + 3u, s[19]);
  put(base, m0 + 5u, c0, s[20]); put(base, m0 + 5u, c0 + 1u, s[21]); put(base, m0 + 5u, c0 + 2u, s[22]); put(base, m0 + 5u, c0 + 3u, s[23]);
  put(base, m0 + 6u, c0, s[24]); put(base, m0 + 6u, c0 + 1u, s[25]); put(base, m0 + 6u, c0 + 2u, s[26]); put(base, m0 + 6u, c0 + 3u, s[27]);
  put(base, m0 + 7u, c0, s[28]); put(base, m0 + 7u, c0 + 1u, s[29]); put(base, m0 + 7u, c0 + 2u, s[30]); put(base, m0 + 7u, c0 + 3u, s[31]);
  put(base, m0 + 8u, c0, s[32]); put(base, m0 + 8u, c0 + 1u, s[33]); put(base, m0 + 8u, c0 + 2u, s[34]); put(base, m0 + 8u, c0 + 3u, s[35]);
  put(base, m0 + 9u, c0, s[36]); put(base, m0 + 9u, c0 + 1u, s[37]); put(base, m0 + 9u, c0 + 2u, s[38]); put(base, m0 + 9u, c0 + 3u, s[39]);
  put(base, m0 + 10u, c0, s[40]); put(base, m0 + 10u, c0 + 1u, s[41]); put(base, m0 + 10u, c0 + 2u, s[42]); put(base, m0 + 10u, c0 + 3u, s[43]);
  put(base, m0 + 11u, c0, s[44]); put(base, m0 + 11u, c0 + 1u, s[45]); put(base, m0 + 11u, c0 + 2u, s[46]); put(base, m0 + 11u, c0 + 3u, s[47]);
  put(base, m0 + 12u, c0, s[48]); put(base, m0 + 12u, c0 + 1u, s[49]); put(base, m0 + 12u, c0 + 2u, s[50]); put(base, m0 + 12u, c0 + 3u, s[51]);
  put(base, m0 + 13u, c0, s[52]); put(base, m0 + 13u, c0 + 1u, s[53]); put(base, m0 + 13u, c0 + 2u, s[54]); put(base, m0 + 13u, c0 + 3u, s[55]);
  put(base, m0 + 14u, c0, s[56]); put(base, m0 + 14u, c0 + 1u, s[57]); put(base, m0 + 14u, c0 + 2u, s[58]); put(base, m0 + 14u, c0 + 3u, s[59]);
  put(base, m0 + 15u, c0, s[60]); put(base, m0 + 15u, c0 + 1u, s[61]); put(base, m0 + 15u, c0 + 2u, s[62]); put(base, m0 + 15u, c0 + 3u, s[63]);
}
