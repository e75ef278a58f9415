// scale_rows: out[r, c] = scale[r] * a[r, c], exactly 0 where scale[r] is 0
//
// a     (N, C) f32 as vec4, read
// scale (N) f32, read
// out   (N, C) f32 as vec4, write
//
// A scale of 0 takes a token out of a product, whatever the row holds: NaN times
// 0 would be NaN. One vec4 per invocation. Zero padding stays zero.
// Dispatch: ceil(N*ld4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/scale_rows.go
struct Params { n4: u32, ld4: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n4) { return; }
  let s = scale[i / p.ld4];
  if (s == 0.0) {
    out[i] = vec4<f32>(0.0, 0.0, 0.0, 0.0);
    return;
  }
  out[i] = s * a[i];
}
