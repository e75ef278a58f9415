// geglu_forward: out[i] = gelu(gate[i]) * up[i],
//   gelu(g) = g / (1 + exp(-2 u)),   u = sqrt(2/pi) * (g + 0.044715 g^3)
//
// gate (n4) vec4<f32>, read: a matrix seen as one row, padding included
// up   (n4) vec4<f32>, read
// out  (n4) vec4<f32>, write
//
// The tanh form of GELU, as 0.5 (1 + tanh u) = 1 / (1 + exp(-2 u)).
// One invocation per vec4. Zero padding stays zero.
// Dispatch: ceil(n4 / WG) workgroups folded over (x, y).
// Reference: internal/ref/geglu.go
// Papers: Hendrycks and Gimpel, arXiv:1606.08415; Shazeer, arXiv:2002.05202.
override WG: u32 = 64;

struct Params {
  n4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> up: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

//#include gelu

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n4) { return; }
  out[i] = gate[i] * gelu_share(gate[i]) * up[i];
}
