// factored_rows: rows[r] = beta*rows[r] + fresh*sum over c of (grad[r, c])^2
//
// grad (R, C) f32 as rows of ld4 vec4, read; padding is zero
// rows (R) f32, read_write; the mean square of each row of the gradient over the updates
//
// fresh = (1 - beta2) * grad_scale^2 / C.
// One row per workgroup.
// Dispatch: R workgroups folded over (x, y).
// Reference: internal/ref/factored.go
// Paper: Shazeer & Stern, Adafactor, ICML 2018, algorithm 4: R_t = beta2 R_t-1 + (1 - beta2) G_t^2 1.
const WG: u32 = 64u;
const LANES: u32 = 64u;

struct Params { rows: u32, c: u32, ld4: u32, beta: f32, fresh: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> rows: array<f32>;

//#include row_sum

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let r = group.x + group.y * groups.x;
  if (r >= p.rows) { return; }
  var s = 0.0;
  for (var k = t; k < p.ld4; k += LANES) {
    let g = inside(grad[r * p.ld4 + k], k);
    s += dot(g, g);
  }
  let sum = row_sum(t, s);
  if (t == 0u) { rows[r] = p.beta * rows[r] + p.fresh * sum; }
}
