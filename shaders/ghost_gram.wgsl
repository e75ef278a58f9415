// ghost_gram: part[s, j] = sum over tokens t <= s of objective j of f * a[s - lo, t] * b[s - lo, t], f = 2 for another token of s's own objective, else 1
//
// a      (hi - lo, hi) f32, row stride ld, read; inner products dY[s] . dY[t]
// b      (hi - lo, hi) f32, row stride ld, read; inner products X[s] . X[t]
// starts (M + 1) u32, read; objective j's tokens are starts[j] .. starts[j+1]-1
// part   (N, M) f32, write rows lo .. hi-1; objectives after s's get 0
//
// <dW_i, dW_j> = sum over s in i, t in j of (dY_s . dY_t)(X_s . X_t), without dW:
// tokens are sorted by objective and the sum is symmetric, so pairs with t <= s
// are enough. One invocation per (s, j), j slowest, so that neighbours read rows
// of one length; a sum has at most the longest segment's terms.
// Requires starts[M] < 65000 (Mesa's loop budget).
// Dispatch: ceil((hi - lo)*M / 64) workgroups folded over (x, y).
// Reference: internal/ref/ghost.go
// Method: ghost norms of Goodfellow, Efficient Per-Example Gradient Computations, arXiv:1510.01799, for pairs.
struct Params { lo: u32, hi: u32, ld: u32, m: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> starts: array<u32>;
@group(0) @binding(4) var<storage, read_write> part: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  let rows = p.hi - p.lo;
  if (i >= rows * p.m) { return; }
  let j = i / rows;
  let row = i % rows;
  let s = p.lo + row;
  let first = row * p.ld;
  let begin = starts[j];
  let stop = min(starts[j + 1u], s);
  var sum = 0.0;
  for (var t = begin; t < stop; t++) { sum += a[first + t] * b[first + t]; }
  if (begin <= s && s < starts[j + 1u]) { sum = 2.0 * sum + a[first + s] * b[first + s]; }
  part[s * p.m + j] = sum;
}
