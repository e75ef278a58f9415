// geglu_backward: with gelu as in geglu_forward,
//   dup[i]   = dout[i] * gelu(gate[i])
//   dgate[i] = dout[i] * up[i] * gelu'(gate[i])
//
// gate  (n4) vec4<f32>, read: a matrix seen as one row, padding included
// dout  (n4) vec4<f32>, read, and overwritten with dgate
// up    (n4) vec4<f32>, read, and overwritten with dup
//
// One invocation per vec4. Zero padding stays zero.
// Dispatch: ceil(n4 / WG) workgroups folded over (x, y).
// Reference: internal/ref/geglu.go
override WG: u32 = 64;

struct Params {
  n4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dout: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> up: array<vec4<f32>>;

//#include gelu

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n4) { return; }
  let d = dout[i];
  let g = gate[i];
  dout[i] = d * up[i] * gelu_slope(g);
  up[i] = d * g * gelu_share(g);
}
