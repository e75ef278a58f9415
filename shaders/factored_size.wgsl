// factored_size: size[r] = mean over c of u[r, c]^2, u = grad_scale*grad[r, c] / (root*sqrt(rows[r]*columns[c]/mean(rows)) + eps)
//
// grad    (R, C) f32 as rows of ld4 vec4, read; padding is zero
// rows    (R) f32, read
// columns (ld4) vec4 f32, read
// scale   (2) f32, read; the first is 1/mean(rows)
// size    (R) f32, write
//
// One row per workgroup.
// Dispatch: R workgroups folded over (x, y).
// Reference: internal/ref/factored.go
const WG: u32 = 64u;
const LANES: u32 = 64u;

struct Params { rows: u32, c: u32, ld4: u32, share: f32, root: f32, eps: f32, grad_scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> columns: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> size: array<f32>;

//#include row_sum
//#include factored

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let r = group.x + group.y * groups.x;
  if (r >= p.rows) { return; }
  var s = 0.0;
  for (var k = t; k < p.ld4; k += LANES) {
    let u = inside(factored(p.grad_scale * grad[r * p.ld4 + k], rows[r], columns[k], scale[0]), k);
    s += dot(u, u);
  }
  let sum = row_sum(t, s);
  if (t == 0u) { size[r] = p.share * sum; }
}
