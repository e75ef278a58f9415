// gelu_backward: x[i] = dout[i] * gelu'(x[i]), gelu as in geglu_forward
//
// dout (n4) vec4<f32>, read: a matrix seen as one row, padding included
// x    (n4) vec4<f32>, read, and overwritten with its gradient
//
// One invocation per vec4. Zero padding stays zero.
// Dispatch: ceil(n4 / WG) workgroups folded over (x, y).
// Reference: internal/ref/gelu.go
override WG: u32 = 64;

struct Params {
  n4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>;

//#include gelu

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i < p.n4) { x[i] = dout[i] * gelu_slope(x[i]); }
}
