// layernorm_backward: with h = (x[r] - mean[r]) * rstd[r] and g = weight * dout[r],
//   dx[r, c] (+)= rstd[r] * (g[c] - sum_c g / C - h[c] * sum_c (g h) / C)
//
// dout   (n, C) f32 as rows of dout_ld4 vec4, read
// x      (n, C) f32 as rows of x_ld4 vec4, read
// weight (C) f32, read; its padding is zero
// mean   (n) f32, read
// rstd   (n) f32, read
// dx     (n, C) f32 as rows of dx_ld4 vec4, write (read too if accumulate); padding becomes 0
//
// LANES invocations share a row, WG / LANES rows a workgroup. WG and LANES are
// powers of two.
// Dispatch: ceil(n / (WG / LANES)) workgroups folded over (x, y).
// Reference: internal/ref/layernorm.go
override WG: u32 = 64;
override LANES: u32 = 8;

struct Params {
  n: u32,
  c: u32,
  c4: u32, // vec4s of a row
  dout_ld4: u32,
  x_ld4: u32,
  dx_ld4: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<f32>>;

//#include row_sum

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * (WG / LANES) + t / LANES;
  let r = min(row, p.n - 1u); // no return before the barriers
  let m = mean[r];
  let scale = rstd[r];
  var s = 0.0;
  var q = 0.0;
  for (var c = t % LANES; c < p.c4; c = c + LANES) {
    let g = weight[c] * dout[r * p.dout_ld4 + c];
    s = s + dot(g, vec4<f32>(1.0));
    q = q + dot(g, (x[r * p.x_ld4 + c] - m) * scale);
  }
  s = row_sum(t, s) / f32(p.c);
  q = row_sum(t, q) / f32(p.c);
  if (row >= p.n) { return; }
  for (var c = t % LANES; c < p.c4; c = c + LANES) {
    let h = (x[r * p.x_ld4 + c] - m) * scale;
    let at = r * p.dx_ld4 + c;
    var g = inside(scale * (weight[c] * dout[r * p.dout_ld4 + c] - s - h * q), c);
    if (p.accumulate != 0u) { g = g + dx[at]; }
    dx[at] = g;
  }
}
