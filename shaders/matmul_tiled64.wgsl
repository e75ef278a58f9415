// matmul_tiled64: out[z] (+)= op(a) · op(b), 64x64 tiles in workgroup memory
//
// a         (M, K) f32, or (K, M) with TRANS_A, row stride lda4 vec4, read
// b         (K, N) f32, or (N, K) with TRANS_B, row stride ldb4 vec4, read
// segments  (objectives + 1) u32: objective z sums k = segments[z] .. segments[z+1]-1, read
// out       (M, N) f32 per z, row stride ldc4 vec4, matrices out_stride4 apart, read and write
//
// 64 threads, each 8 rows x 2 vec4 columns: 64 accumulators in registers, 8 KiB
// of workgroup memory. For GPUs with registers to spare and large outputs.
// Numerics: f32, k ascending; what lies past an edge counts as zero.
// Barriers are uniform: the range of k is the same for the whole workgroup.
// ACCUMULATE 1 adds to out: a constant, as CPU rasterizers run both sides of a branch.
// Dispatch: ceil(M/64) * ceil(N/64) workgroups folded over (x, y); z = objectives
// (segmented) or slices of k_begin..k_end (split K).
// Reference: internal/ref/matmul.go
override TRANS_A: u32 = 0;
override TRANS_B: u32 = 0;
override ACCUMULATE: u32 = 0;

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

const TILE: u32 = 64u; // rows and columns of out per workgroup
const T4: u32 = 16u;   // TILE in vec4
const BK: u32 = 16u;   // terms of k per round

var<workgroup> xs: array<vec4<f32>, 256>; // [BK][T4], op(a) with k outside
var<workgroup> ys: array<vec4<f32>, 256>; // [BK][T4], op(b)

// at_a is a's vec4 c of row r, or zero outside rows x cols.
fn at_a(r: u32, c: u32, rows: u32, cols: u32) -> vec4<f32> {
  if (r < rows && c * 4u < cols) { return a[r * p.lda4 + c]; }
  return vec4<f32>();
}

// at_b is at_a for b.
fn at_b(r: u32, c: u32, rows: u32, cols: u32) -> vec4<f32> {
  if (r < rows && c * 4u < cols) { return b[r * p.ldb4 + c]; }
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

// put writes output row r, vec4 column c of the matrix that starts at base.
fn put(base: u32, r: u32, c: u32, v: vec4<f32>) {
  if (r < p.m && c * 4u < p.n) {
    let i = base + r * p.ldc4 + c;
    if (ACCUMULATE != 0u) { out[i] = out[i] + v; } else { out[i] = v; }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32) {
  let tiles = (p.n + TILE - 1u) / TILE;
  let id = w.x + w.y * groups.x;
  let m0 = (id / tiles) * TILE;
  let n0 = (id % tiles) * TILE;
  if (m0 >= p.m) { return; } // uniform: id is the workgroup's
  var begin = p.k_begin + w.z * p.k_per;
  var end = min(p.k_end, begin + p.k_per);
  if (p.segmented != 0u) {
    begin = segments[w.z];
    end = segments[w.z + 1u];
  }
  // Neighbouring threads read neighbouring vec4 of storage.
  let u = vec2<u32>(t % 16u, t / 16u); // 16 groups of 4 columns x 4 of k, contiguous columns
  let v = vec2<u32>(t / 4u, t % 4u);   // the same, contiguous k
  let la = select(u, v, TRANS_A == 0u);
  let lb = select(u, v, TRANS_B == 1u);
  let tr = t / 8u;
  let tc = t % 8u;
  var s: array<vec4<f32>, 16>;
  for (var k = begin; k < end; k += BK) {
    load_a(la.x, la.y, m0, k, end);
    load_b(lb.x, lb.y, n0, k, end);
    workgroupBarrier();
    for (var j = 0u; j < BK; j++) {
      let x0 = xs[j * T4 + tr * 2u]; let x1 = xs[j * T4 + tr * 2u + 1u];
      let y0 = ys[j * T4 + tc]; let y1 = ys[j * T4 + tc + 8u];
      s[0] += x0.x * y0; s[1] += x0.x * y1;
      s[2] += x0.y * y0; s[3] += x0.y * y1;
      s[4] += x0.z * y0; s[5] += x0.z * y1;
      s[6] += x0.w * y0; s[7] += x0.w * y1;
      s[8] += x1.x * y0; s[9] += x1.x * y1;
      s[10] += x1.y * y0; s[11] += x1.y * y1;
      s[12] += x1.z * y0; s[13] += x1.z * y1;
      s[14] += x1.w * y0; s[15] += x1.w * y1;
    }
    workgroupBarrier();
  }
  let base = w.z * p.out_stride4;
  let r = m0 + tr * 8u;
  let c = n0 / 4u + tc;
  put(base, r + 0u, c, s[0]); put(base, r + 0u, c + 8u, s[1]);
  put(base, r + 1u, c, s[2]); put(base, r + 1u, c + 8u, s[3]);
  put(base, r + 2u, c, s[4]); put(base, r + 2u, c + 8u, s[5]);
  put(base, r + 3u, c, s[6]); put(base, r + 3u, c + 8u, s[7]);
  put(base, r + 4u, c, s[8]); put(base, r + 4u, c + 8u, s[9]);
  put(base, r + 5u, c, s[10]); put(base, r + 5u, c + 8u, s[11]);
  put(base, r + 6u, c, s[12]); put(base, r + 6u, c + 8u, s[13]);
  put(base, r + 7u, c, s[14]); put(base, r + 7u, c + 8u, s[15]);
}
