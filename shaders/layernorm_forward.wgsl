// layernorm_forward: for each row r of x
//   mean[r] = sum_c x[r, c] / C,   rstd[r] = 1 / sqrt(sum_c (x[r, c] - mean[r])^2 / C + eps)
//   out[r, c] = weight[c] * (x[r, c] - mean[r]) * rstd[r] + bias[c]
//
// x      (n, C) f32 as rows of x_ld4 vec4, read
// weight (C) f32, read; its padding is zero, as bias's
// bias   (C) f32, read
// out    (n, C) f32 as rows of out_ld4 vec4, write
// mean   (n) f32, write
// rstd   (n) f32, write
//
// LANES invocations share a row, WG / LANES rows a workgroup; the variance is
// summed in a second pass, about the mean. WG and LANES are powers of two.
// Dispatch: ceil(n / (WG / LANES)) workgroups folded over (x, y).
// Reference: internal/ref/layernorm.go
// Paper: Ba, Kiros, Hinton, Layer Normalization, arXiv:1607.06450.
override WG: u32 = 64;
override LANES: u32 = 8;

struct Params {
  n: u32,
  c: u32,
  c4: u32,
  x_ld4: u32,
  out_ld4: u32,
  eps: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;
@group(0) @binding(6) var<storage, read_write> rstd: array<f32>;

//#include row_sum

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * (WG / LANES) + t / LANES;
  let at = min(row, p.n - 1u) * p.x_ld4; // no return before the barriers
  var s = 0.0;
  for (var c = t % LANES; c < p.c4; c = c + LANES) {
    s = s + dot(inside(x[at + c], c), vec4<f32>(1.0));
  }
  let m = row_sum(t, s) / f32(p.c);
  s = 0.0;
  for (var c = t % LANES; c < p.c4; c = c + LANES) {
    let d = inside(x[at + c] - m, c);
    s = s + dot(d, d);
  }
  let scale = inverseSqrt(row_sum(t, s) / f32(p.c) + p.eps);
  if (row >= p.n) { return; }
  if (t % LANES == 0u) {
    mean[row] = m;
    rstd[row] = scale;
  }
  for (var c = t % LANES; c < p.c4; c = c + LANES) {
    out[row * p.out_ld4 + c] = weight[c] * ((x[at + c] - m) * scale) + bias[c];
  }
}
