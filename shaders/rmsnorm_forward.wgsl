// rmsnorm_forward: rstd[r] = 1 / sqrt(mean_c x[r, c]^2 + eps)
//                  out[r, c] = weight[c] * x[r, c] * rstd[r]
//
// x      (n, C) f32 as rows of x_ld4 vec4, zero in the padding, read
// weight (C) f32 as vec4, zero in the padding, read
// out    (n, C) f32 as rows of out_ld4 vec4, write
// rstd   (n) f32, write: kept for the backward
//
// LANES invocations per row, WG / LANES rows per workgroup; lane l sums the vec4s l,
// l + LANES, ... of its row, then a tree of log2(LANES) steps adds the lanes of
// all rows at once. WG and LANES are powers of two. c4 = ceil(C / 4).
// Dispatch: ceil(n / (WG / LANES)) workgroups folded over (x, y).
// Reference: internal/ref/rmsnorm.go
// Paper: Zhang and Sennrich, Root Mean Square Layer Normalization, arXiv:1910.07467, equation 4.
override WG: u32 = 64;
override LANES: u32 = 8;

//#include norm_factor

struct Params {
  n: u32,
  c: u32,
  c4: u32,
  x_ld4: u32,
  out_ld4: u32,
  eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

var<workgroup> sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let lane = t % LANES;
  let row = (wid.x + wid.y * nwg.x) * (WG / LANES) + t / LANES;
  let live = row < p.n; // no return before the barriers
  let r = min(row, p.n - 1u);
  var s = 0.0;
  for (var c = lane; c < p.c4; c = c + LANES) {
    let v = x[r * p.x_ld4 + c];
    s = s + dot(v, v);
  }
  sums[t] = s;
  for (var d = LANES / 2u; d > 0u; d = d / 2u) {
    workgroupBarrier();
    if (lane < d) { sums[t] = sums[t] + sums[t + d]; }
  }
  workgroupBarrier();
  if (!live) { return; }
  let scale = inverseSqrt(sums[t - lane] / f32(p.c) + p.eps);
  if (lane == 0u) { rstd[r] = scale; }
  for (var c = lane; c < p.c4; c = c + LANES) {
    out[r * p.out_ld4 + c] = factor(c) * (x[r * p.x_ld4 + c] * scale);
  }
}
