// token_gather: for tokens t with lo <= ids[t] < lo + cols: at[s, t] = back[t, s] = z[s, ids[t] - lo]; and same[s, t] = [ids[s] == ids[t]] where lo = 0
//
// ids  (n) u32, read
// z    (n, cols) f32 as rows of ld, read; columns lo .. lo + cols - 1 of a wider matrix
// at   (n, n) f32 as rows of out_ld, write
// back (n, n) f32 as rows of out_ld, write; the transpose of at
// same (n, n) f32 as rows of out_ld, write
//
// One invocation per (s, t). z is not read where cols = 0.
// Dispatch: ceil(n * n / 64) workgroups folded over (x, y).
// Reference: internal/ref/vocabulary.go
struct Params { n: u32, cols: u32, ld: u32, out_ld: u32, lo: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read_write> at: array<f32>;
@group(0) @binding(4) var<storage, read_write> back: array<f32>;
@group(0) @binding(5) var<storage, read_write> same: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = (group.x + group.y * groups.x) * 64u + lane;
  if (i >= p.n * p.n) { return; }
  let s = i / p.n;
  let t = i - s * p.n;
  let id = ids[t];
  if (p.lo == 0u) { same[s * p.out_ld + t] = select(0.0, 1.0, ids[s] == id); }
  let c = id - p.lo; // wraps below lo
  if (c < p.cols) {
    let v = z[s * p.ld + c];
    at[s * p.out_ld + t] = v;
    back[t * p.out_ld + s] = v;
  }
}
