// matmul_tiled64: out[z] (+)= op(a) · op(b), 64x64 tiles in workgroup memory
//
// a         (M, K) f32, or (K, M) with TRANS_A, row stride lda4 vec4, read
// b         (K, N) of element type B, or (N, K) with TRANS_B, row stride ldb4 vec4, read
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

//#include matmul
//#include matmul_terms

const TILE: u32 = 64u; // rows and columns of out per workgroup
const T4: u32 = 16u;   // TILE in vec4

var<workgroup> xs: array<vec4<f32>, 256>; // [BK][T4], op(a) with k outside
var<workgroup> ys: array<vec4<f32>, 256>; // [BK][T4], op(b)

//#include matmul_tile

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32) {
  let tiles = (p.n + TILE - 1u) / TILE;
  let id = w.x + w.y * groups.x;
  let m0 = (id / tiles) * TILE;
  let n0 = (id % tiles) * TILE;
  if (m0 >= p.m) { return; } // uniform: id is the workgroup's
  let range = terms(w.z);
  // Neighbouring threads read neighbouring vec4 of storage.
  let u = vec2<u32>(t % 16u, t / 16u); // 16 groups of 4 columns x 4 of k, contiguous columns
  let v = vec2<u32>(t / 4u, t % 4u);   // the same, contiguous k
  let la = select(u, v, TRANS_A == 0u);
  let lb = select(u, v, TRANS_B == 1u);
  let tr = t / 8u;
  let tc = t % 8u;
  var s: array<vec4<f32>, 16>;
  for (var k = range.x; k < range.y; k += BK) {
    load_a(la.x, la.y, m0, k, range.y);
    load_b(lb.x, lb.y, n0, k, range.y);
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
