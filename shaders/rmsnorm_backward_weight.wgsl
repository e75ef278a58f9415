// rmsnorm_backward_weight: for each objective m
//   out[m][c] (+)= sum over tokens t of m of dout[t, c] * x[t, c] * rstd[t]
//
// dout   (n, C) f32 as rows of dout_ld4 vec4, read
// x      (n, C) f32 as rows of x_ld4 vec4, read
// rstd   (n) f32, read
// starts (M + 1) u32, read: objective m owns tokens starts[m] .. starts[m + 1] - 1
// out    (C) f32 per objective, objective base + i at vec4 i * stride4, read and write;
//        accumulate = 0 overwrites every row (zeros for an objective without tokens)
//
// One workgroup per (COLS vec4 columns, objective): lanes = WG / COLS invocations share
// a column, lane l takes tokens l, l + lanes, ... and a tree adds the lanes in a
// fixed order. Neighbours read neighbouring vec4s. WG and COLS are powers of two;
// an objective holds fewer than 65,000 * lanes tokens (loop budget of Mesa).
// Dispatch: (ceil(c4 / COLS), objectives, 1) workgroups, c4 = ceil(C / 4).
// Reference: internal/ref/rmsnorm.go
override WG: u32 = 256;
override COLS: u32 = 16;

struct Params {
  c4: u32,
  dout_ld4: u32,
  x_ld4: u32,
  stride4: u32,
  base: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> rstd: array<f32>;
@group(0) @binding(4) var<storage, read> starts: array<u32>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

var<workgroup> sums: array<vec4<f32>, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let column = wid.x * COLS + t % COLS;
  let lane = t / COLS;
  let lanes = WG / COLS;
  let c = min(column, p.c4 - 1u); // no return before the barriers
  let m = p.base + wid.y;
  let end = starts[m + 1u];
  var s = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  for (var r = starts[m] + lane; r < end; r = r + lanes) {
    s = s + dout[r * p.dout_ld4 + c] * (x[r * p.x_ld4 + c] * rstd[r]);
  }
  sums[t] = s;
  for (var d = lanes / 2u; d > 0u; d = d / 2u) {
    workgroupBarrier();
    if (lane < d) { sums[t] = sums[t] + sums[t + d * COLS]; }
  }
  if (lane > 0u || column >= p.c4) { return; }
  let at = wid.y * p.stride4 + c;
  var g = sums[t]; // lane 0 wrote it itself
  if (p.accumulate != 0u) { g = g + out[at]; }
  out[at] = g;
}
