// swiglu_backward: with s = 1 / (1 + exp(-gate)),
//   dup[i]   = dout[i] * gate[i] * s
//   dgate[i] = dout[i] * up[i] * s * (1 + gate[i] * (1 - s))
//
// gate  (n4) vec4<f32>, read: a matrix seen as one row, padding included
// dout  (n4) vec4<f32>, read, and overwritten with dgate
// up    (n4) vec4<f32>, read, and overwritten with dup
//
// One invocation per vec4. Zero padding stays zero.
// Numerics: the argument of exp is capped at CAP, as in swiglu_forward.
// Dispatch: ceil(n4 / WG) workgroups folded over (x, y).
// Reference: internal/ref/swiglu.go
override WG: u32 = 64;
override CAP: f32 = 80.0;

struct Params {
  n4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dout: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> up: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n4) { return; }
  let d = dout[i];
  let g = gate[i];
  let s = 1.0 / (1.0 + exp(min(-g, vec4<f32>(CAP))));
  dout[i] = d * up[i] * s * (1.0 + g * (1.0 - s));
  up[i] = d * g * s;
}
