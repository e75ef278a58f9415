// bias_add: x[i, c] = x[i, c] + bias[c]
//
// bias (C) f32, read
// x    (n, C) f32 as rows of ld4 vec4, read and write
//
// One invocation per vec4; c4 = ceil(C / 4). The padding of bias is zero, so that
// the padding of x stays zero.
// Dispatch: ceil(n * c4 / WG) workgroups folded over (x, y).
// Reference: internal/ref/bias.go
override WG: u32 = 64;

struct Params {
  n: u32,
  c4: u32,
  ld4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n * p.c4) { return; }
  let c = i % p.c4;
  let at = i / p.c4 * p.ld4 + c;
  x[at] = x[at] + bias[c];
}
