// matmul_tiled32: out[z] (+)= op(a) · op(b), 32x32 tiles in workgroup memory
//
// a         (M, K) f32, or (K, M) with TRANS_A, row stride lda4 vec4, read
// b         (K, N) of element type B, or (N, K) with TRANS_B, row stride ldb4 vec4, read
// segments  (objectives + 1) u32: objective z sums k = segments[z] .. segments[z+1]-1, read
// out       (M, N) f32 per z, row stride ldc4 vec4, matrices out_stride4 apart, read and write
//
// 64 threads, each 4 rows x 1 vec4 column, 4 KiB of workgroup memory. For
// integrated and register-poor GPUs and for outputs of few tiles.
// Numerics: f32, k ascending; what lies past an edge counts as zero.
// Barriers are uniform: the range of k is the same for the whole workgroup.
// ACCUMULATE 1 adds to out: a constant, as CPU rasterizers run both sides of a branch.
// Dispatch: ceil(M/32) * ceil(N/32) workgroups folded over (x, y); z = objectives
// (segmented) or slices of k_begin..k_end (split K).
// Reference: internal/ref/matmul.go
override TRANS_A: u32 = 0;
override TRANS_B: u32 = 0;
override ACCUMULATE: u32 = 0;

//#include matmul
//#include matmul_terms

const TILE: u32 = 32u; // rows and columns of out per workgroup
const T4: u32 = 8u;   // TILE in vec4

var<workgroup> xs: array<vec4<f32>, 128>; // [BK][T4], op(a) with k outside
var<workgroup> ys: array<vec4<f32>, 128>; // [BK][T4], op(b)

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
  // Half the threads load op(a), half op(b); neighbours read neighbouring vec4.
  let h = t % 32u;
  let u = vec2<u32>(h % 8u, h / 8u); // 8 groups of 4 columns x 4 of k, contiguous columns
  let v = vec2<u32>(h / 4u, h % 4u); // the same, contiguous k
  let la = select(u, v, TRANS_A == 0u);
  let lb = select(u, v, TRANS_B == 1u);
  let tr = t / 8u;
  let tc = t % 8u;
  var s: array<vec4<f32>, 4>;
  for (var k = range.x; k < range.y; k += BK) {
    if (t < 32u) { load_a(la.x, la.y, m0, k, range.y); } else { load_b(lb.x, lb.y, n0, k, range.y); }
    workgroupBarrier();
    for (var j = 0u; j < BK; j++) {
      let x = xs[j * T4 + tr]; let y = ys[j * T4 + tc];
      s[0] += x.x * y; s[1] += x.y * y; s[2] += x.z * y; s[3] += x.w * y;
    }
    workgroupBarrier();
  }
  let base = w.z * p.out_stride4;
  let r = m0 + tr * 4u;
  let c = n0 / 4u + tc;
  put(base, r, c, s[0]); put(base, r + 1u, c, s[1]); put(base, r + 2u, c, s[2]); put(base, r + 3u, c, s[3]);
}
