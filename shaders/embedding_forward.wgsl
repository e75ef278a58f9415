// embedding_forward: out[i, c] = table[ids[i], c]
//
// ids   (n) u32, read
// table (rows, C) of element type TABLE as rows of table_ld4 vec4, read: rows lo .. lo + rows - 1 of the whole
// out   (n, C) f32 as rows of out_ld4 vec4, write
//
// One invocation per vec4 of out; c4 = ceil(C / 4). With lo = 0 an id that is not in
// table gives a row of zeros: such ids are refused where they enter (tokenizer, model),
// or are in another part of the whole, whose dispatch then writes their rows.
// Dispatch: ceil(n * c4 / WG) workgroups folded over (x, y).
// Reference: internal/ref/embedding.go
override WG: u32 = 64;
//#include load4_{TABLE=f32} table

struct Params {
  n: u32,
  c4: u32,
  lo: u32,
  rows: u32,
  table_ld4: u32,
  out_ld4: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<Packed_table>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n * p.c4) { return; }
  let r = i / p.c4;
  let c = i - r * p.c4;
  let id = ids[r] - p.lo; // wraps below lo
  var v = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  if (id < p.rows) { v = load4_table(id * p.table_ld4 + c); } else if (p.lo > 0u) { return; }
  out[r * p.out_ld4 + c] = v;
}
