// splitk_reduce: out (+)= sum_z parts[z], the slices of a split sum over k
//
// parts  (slices, n4) vec4 f32, read
// out    (n4) vec4 f32, read and write
//
// One invocation per vec4. Numerics: f32, slices ascending, always the same
// order, so that the same device gives the same bits.
// Dispatch: ceil(n4 / WG) workgroups folded over (x, y).
// Reference: internal/ref/matmul.go
override WG: u32 = 64;

struct Params { n4: u32, slices: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> parts: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) t: u32) {
  let i = (w.x + w.y * groups.x) * WG + t;
  if (i >= p.n4) { return; }
  var s = vec4<f32>();
  for (var z = 0u; z < p.slices; z++) { s += parts[z * p.n4 + i]; }
  if (p.accumulate != 0u) { s += out[i]; }
  out[i] = s;
}
