// scale_rows_inplace: x[r, c] = scale[r] * x[r, c], exactly 0 where scale[r] is 0
//
// scale (N) f32, read
// x     (N, C) f32 as vec4, read_write
//
// scale_rows in place: a kernel of its own, as one buffer cannot be bound for
// reading and for writing.
// Dispatch: ceil(N*ld4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/scale_rows.go
struct Params { n4: u32, ld4: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> scale: array<f32>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n4) { return; }
  let s = scale[i / p.ld4];
  if (s == 0.0) {
    x[i] = vec4<f32>(0.0, 0.0, 0.0, 0.0);
    return;
  }
  x[i] = s * x[i];
}
