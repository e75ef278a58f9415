// swiglu_forward: out[i] = silu(gate[i]) * up[i], silu(g) = g / (1 + exp(-g))
//
// gate (n4) vec4<f32>, read: a matrix seen as one row, padding included
// up   (n4) vec4<f32>, read
// out  (n4) vec4<f32>, write
//
// One invocation per vec4. Zero padding stays zero.
// Numerics: the argument of exp is capped at CAP, where the sigmoid is 2e-35,
// so that exp never overflows. A NaN in gate still gives NaN, through g itself.
// Dispatch: ceil(n4 / WG) workgroups folded over (x, y).
// Reference: internal/ref/swiglu.go
// Paper: Shazeer, GLU Variants Improve Transformer, arXiv:2002.05202, equation 6.
override WG: u32 = 64;
override CAP: f32 = 80.0;

struct Params {
  n4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> up: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n4) { return; }
  let g = gate[i];
  out[i] = g / (1.0 + exp(min(-g, vec4<f32>(CAP)))) * up[i];
}
