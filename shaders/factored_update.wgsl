// factored_update: weight = keep*weight - lr*u*scale[1], u as in factored_size, rounded up or down by chance where it is stored in fewer bits
//
// grad    (R, C) f32 as rows of ld4 vec4, read
// rows    (R) f32, read
// columns (ld4) vec4 f32, read
// scale   (2) f32, read; 1/mean(rows), 1/max(1, RMS(u))
// weight  (R, C) of element type WEIGHT as rows of ld4 vec4, read_write
//
// Random bits as in adamw_packed. One vec4 per invocation.
// Dispatch: ceil(R * ld4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/factored.go
// Paper: Shazeer & Stern, Adafactor, ICML 2018, algorithm 4, with the learning rate as given.
//#include random
//#include load4_{WEIGHT=f32} weight
//#include round4_{WEIGHT=f32} weight

struct Params { n: u32, ld4: u32, base: u32, key0: u32, key1: u32, keep: f32, rate: f32, root: f32, eps: f32, grad_scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> rows: array<f32>;
@group(0) @binding(3) var<storage, read> columns: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> scale: array<f32>;
@group(0) @binding(5) var<storage, read_write> weight: array<Packed_weight>;

//#include factored

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n) { return; }
  let u = factored(p.grad_scale * grad[i], rows[i / p.ld4], columns[i % p.ld4], scale[0]);
  let w = p.keep * load4_weight(i) - p.rate * scale[1] * u;
  round4_weight(i, w, random4(p.base + i, vec2<u32>(p.key0, p.key1)) & vec4<u32>(0xffffu, 0xffffu, 0xffffu, 0xffffu));
}
