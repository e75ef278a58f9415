// factored_fold: columns[c] = beta*columns[c] + fresh*sum over s of part[s, c]
//
// part    (slices, ld4) vec4 f32, read
// columns (ld4) vec4 f32, read_write; the mean square of each column of the gradient over the updates
//
// fresh = (1 - beta2) * grad_scale^2 / R. One invocation per vec4.
// Dispatch: ceil(ld4 / 64) workgroups.
// Reference: internal/ref/factored.go
// Paper: Shazeer & Stern, Adafactor, ICML 2018, algorithm 4: C_t = beta2 C_t-1 + (1 - beta2) 1 G_t^2.
struct Params { slices: u32, ld4: u32, stride4: u32, beta: f32, fresh: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> columns: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let c = (group.x + group.y * groups.x) * 64u + t;
  if (c >= p.ld4) { return; }
  var sum = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  for (var s = 0u; s < p.slices; s++) { sum += part[s * p.stride4 + c]; }
  columns[c] = p.beta * columns[c] + p.fresh * sum;
}
