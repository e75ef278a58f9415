// dora_scale: x[i, c] = x[i, c] * (f[i, c] / sqrt(squares[c]) - offset), the quotient being 0 where squares[c] is 0
//
// f       (n, C) f32 as rows of f_ld4 vec4, or one row of all where f_ld4 is 0, read
// squares (C) f32, read
// x       (n, C) f32 as rows of x_ld4 vec4, read and write
//
// One invocation per vec4, c4 = ceil(C / 4) per row. The padding of x and squares is
// zero and stays so.
// Dispatch: ceil(n * c4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/dora.go
// Paper: Liu et al., DoRA, arXiv:2402.09353, equation 5.
struct Params { total: u32, c4: u32, x_ld4: u32, f_ld4: u32, offset: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> f: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> squares: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.total) { return; }
  let c = i % p.c4;
  let r = i / p.c4;
  let q = squares[c];
  let zero = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  let scale = f[r * p.f_ld4 + c] / sqrt(select(vec4<f32>(1.0, 1.0, 1.0, 1.0), q, q > zero));
  let value = x[r * p.x_ld4 + c];
  x[r * p.x_ld4 + c] = select(zero - p.offset * value, value * (scale - p.offset), q > zero);
}
