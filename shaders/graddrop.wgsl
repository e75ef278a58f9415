// graddrop: out = (leak*(P + N) + (1 - leak)*kept) / n, P and N the sums of the positive and of the negative values of the n rows used; kept is P where (1 + (P + N)/(P - N))/2 > u, else N
//
// rows (M, R, C) f32, read; objective m at m*stride
// out  (R, C) f32, write; padding is cleared
//
// u is drawn for every element from its place in the matrix without padding:
// h(h(index ^ key0) + key1), h being one round of PCG's output permutation, so
// that every machine and every layout draws the same. Rows that mask leaves out
// are not read. Requires M <= 64.
// Dispatch: ceil(R*ld / 64) workgroups folded over (x, y).
// Reference: internal/ref/elementwise.go
// Paper: Chen et al., Just Pick a Sign (GradDrop), NeurIPS 2020, algorithm 1.
struct Params {
  first: u32, n: u32, cols: u32, ld: u32, stride: u32, m: u32, mask0: u32, mask1: u32,
  key0: u32, key1: u32, base: u32, leak: f32, share: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

fn hash(x: u32) -> u32 {
  let s = x * 747796405u + 2891336453u;
  let w = ((s >> ((s >> 28u) + 4u)) ^ s) * 277803737u;
  return (w >> 22u) ^ w;
}

fn used(m: u32) -> bool {
  let mask = select(p.mask1, p.mask0, m < 32u);
  return ((mask >> (m & 31u)) & 1u) == 1u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n) { return; }
  let place = p.first + i; // in the matrix, of which this may be a piece
  let c = place % p.ld;
  if (c >= p.cols) {
    out[i] = 0.0;
    return;
  }
  var positive = 0.0;
  var negative = 0.0;
  for (var m = 0u; m < p.m; m++) {
    if (used(m)) {
      let g = rows[m * p.stride + i];
      positive += max(g, 0.0);
      negative += min(g, 0.0);
    }
  }
  let size = positive - negative;
  if (size == 0.0) {
    out[i] = 0.0;
    return;
  }
  let index = p.base + (place / p.ld) * p.cols + c;
  let u = f32(hash(hash(index ^ p.key0) + p.key1) >> 8u) * 5.9604644775390625e-8;
  let kept = select(negative, positive, 0.5 * (1.0 + (positive + negative) / size) > u);
  out[i] = p.share * (p.leak * (positive + negative) + (1.0 - p.leak) * kept);
}
