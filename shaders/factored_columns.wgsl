// factored_columns: part[s, c] = sum over the rows r of slice s of grad[r, c]^2
//
// grad (R, C) f32 as rows of ld4 vec4, read
// part (slices, ld4) vec4 f32, write
//
// A slice is 128 rows. One invocation per vec4 of part.
// Dispatch: ceil(slices * ld4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/factored.go
const SLICE: u32 = 128u;

struct Params { n: u32, rows: u32, ld4: u32, stride4: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> part: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n) { return; }
  let c = i % p.ld4;
  let first = (i / p.ld4) * SLICE;
  var sum = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  for (var r = first; r < min(first + SLICE, p.rows); r++) {
    let g = grad[r * p.ld4 + c];
    sum += g * g;
  }
  part[i / p.ld4 * p.stride4 + c] = sum;
}
