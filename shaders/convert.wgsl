// convert: out[r, c] = x[r, c], in another element type
//
// x   (R, C) of element type X, row stride x_ld4 vec4, read
// out (R, C) of element type OUT, row stride out_ld4 vec4, write
//
// One invocation per vec4 of out, c4 = ceil(C / 4) per row. A block type is read
// only: its scales need a whole block, and are made where the weights are loaded.
// Dispatch: ceil(R * c4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/convert.go
//#include load4_{X=f32} x
//#include store4_{OUT=f32} out

struct Params {
  n: u32,  // vec4 of out: R * c4
  c4: u32,
  x_ld4: u32,
  out_ld4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<Packed_x>;
@group(0) @binding(2) var<storage, read_write> out: array<Packed_out>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (w.x + w.y * groups.x) * 64u + t;
  if (i >= p.n) { return; }
  let r = i / p.c4;
  let c = i % p.c4;
  store4_out(r * p.out_ld4 + c, load4_x(r * p.x_ld4 + c));
}
