// embedding_backward: for run u = (objective, row, begin, end):
//   out[objective][row - lo, c] (+)= sum over j in [begin, end) of x[perm[j], c]
//
// runs (first + n, 4) u32, read: objective, row of out, begin, end (perm indices)
// perm (*) u32, read: rows of x, those of one run together and in token order
// x    (*, C) f32 as rows of x_ld4 vec4, read
// out  rows of out_ld4 vec4, objective m at m * stride4, read and write
//
// One invocation per (run, vec4 of the row): WGSL has no float atomics, so every
// element of out belongs to one invocation, which adds in the order of perm: the
// same bits each time. The host cuts runs of hot tokens (tensor.TokenIndex): this
// kernel first sums their pieces into a scratch matrix and then, called again,
// the pieces of a token into out. That bounds the loop.
// accumulate = 0 overwrites; rows that no run names are not touched.
// Objectives count from base, so that out may be bound from objective base on.
// out holds rows lo .. lo + rows - 1 of the matrix; others are skipped (out of range
// ids are refused where they enter).
// Dispatch: ceil(n * c4 / WG) workgroups folded over (x, y).
// Reference: internal/ref/embedding.go
override WG: u32 = 64;

struct Params {
  first: u32,
  n: u32,
  c4: u32,
  x_ld4: u32,
  out_ld4: u32,
  stride4: u32,
  base: u32,
  lo: u32,
  rows: u32,
  accumulate: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> runs: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> perm: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n * p.c4) { return; }
  let u = i / p.c4;
  let c = i - u * p.c4;
  let run = runs[p.first + u];
  let row = run.y - p.lo; // wraps below lo
  if (row >= p.rows) { return; }
  let at = (run.x - p.base) * p.stride4 + row * p.out_ld4 + c;
  var s = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  if (p.accumulate != 0u) { s = out[at]; }
  for (var j = run.z; j < run.w; j = j + 1u) { s = s + x[perm[j] * p.x_ld4 + c]; }
  out[at] = s;
}
