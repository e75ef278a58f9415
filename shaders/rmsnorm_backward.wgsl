// rmsnorm_backward: dx[r, c] (+)= rstd * weight[c] * dout[r, c]
//                             - x[r, c] * rstd^3 / C * sum_k dout[r, k] * weight[k] * x[r, k]
//
// dout   (n, C) f32 as rows of dout_ld4 vec4, zero in the padding, read
// x      (n, C) f32 as rows of x_ld4 vec4, zero in the padding, read
// weight (C) f32 as vec4, zero in the padding, read
// rstd   (n) f32, read: from rmsnorm_forward
// dx     (n, C) f32 as rows of dx_ld4 vec4, read and write; accumulate != 0 adds
//
// LANES invocations per row, WG / LANES rows per workgroup, a tree over the lanes, as
// in rmsnorm_forward. WG and LANES are powers of two. c4 = ceil(C / 4).
// Dispatch: ceil(n / (WG / LANES)) workgroups folded over (x, y).
// Reference: internal/ref/rmsnorm.go
override WG: u32 = 64;
override LANES: u32 = 8;

struct Params {
  n: u32,
  c: u32,
  c4: u32,
  dout_ld4: u32,
  x_ld4: u32,
  dx_ld4: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

//#include norm_factor

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
    s = s + dot(dout[r * p.dout_ld4 + c] * factor(c), x[r * p.x_ld4 + c]);
  }
  sums[t] = s;
  for (var d = LANES / 2u; d > 0u; d = d / 2u) {
    workgroupBarrier();
    if (lane < d) { sums[t] = sums[t] + sums[t + d]; }
  }
  workgroupBarrier();
  if (!live) { return; }
  let scale = rstd[r];
  let q = sums[t - lane] * scale * scale / f32(p.c);
  for (var c = lane; c < p.c4; c = c + LANES) {
    let at = r * p.dx_ld4 + c;
    var g = scale * (factor(c) * dout[r * p.dout_ld4 + c] - q * x[r * p.x_ld4 + c]);
    if (p.accumulate != 0u) { g = g + dx[at]; }
    dx[at] = g;
  }
}
