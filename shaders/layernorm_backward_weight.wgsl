// layernorm_backward_weight: for each objective m
//   out[m][c] (+)= sum over tokens t of m of dout[t, c] * (x[t, c] - mean[t]) * rstd[t]
//
// dout   (n, C) f32 as rows of dout_ld4 vec4, read; padding is zero
// x      (n, C) f32 as rows of x_ld4 vec4, read
// mean   (n) f32, read
// rstd   (n) f32, read
// starts (M + 1) u32, read: objective m owns tokens starts[m] .. starts[m + 1] - 1
// out    (C) f32 per objective, objective base + i at vec4 i * stride4, read and write;
//        accumulate = 0 overwrites every row (zeros for an objective without tokens)
//
// The workgroups, their order of summing and their limits are rmsnorm_backward_weight's.
// Dispatch: (ceil(c4 / COLS), objectives, 1) workgroups, c4 = ceil(C / 4).
// Reference: internal/ref/layernorm.go
override WG: u32 = 256;
override COLS: u32 = 16;

struct Params {
  c4: u32, // vec4s of a row
  dout_ld4: u32,
  x_ld4: u32,
  stride4: u32,
  base: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> mean: array<f32>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> starts: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<vec4<f32>>;

//#include segment_sum

fn term(r: u32, c: u32) -> vec4<f32> {
  return dout[r * p.dout_ld4 + c] * ((x[r * p.x_ld4 + c] - mean[r]) * rstd[r]);
}
