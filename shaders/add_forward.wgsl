// add_forward: out[i] = a[i] + b[i]
//
// a    (n4) vec4<f32>, read: a matrix seen as one row, padding included
// b    (n4) vec4<f32>, read
// out  (n4) vec4<f32>, write
//
// One invocation per vec4. Zero padding stays zero.
// Dispatch: ceil(n4 / WG) workgroups folded over (x, y).
// Reference: internal/ref/add.go
override WG: u32 = 64;

struct Params {
  n4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n4) { return; }
  out[i] = a[i] + b[i];
}
