// attention_delta: delta[h,i] = sum_c dout[i,h,c] * out[i,h,c]
//
// dout, out  (N, H*D) f32, row-major, read
// delta      (H, N) f32, row-major, write
//
// One invocation per (token, head), heads fastest.
// Requires D a multiple of 4; leading dimensions multiples of 4.
// Dispatch: ceil(N*H / WG) workgroups folded over (x, y).
// Reference: internal/ref/attention.go. Dao 2023, FlashAttention-2, algorithm 2, line 4.
override WG: u32 = 64;

struct Params {
  rows: u32,    // N
  heads: u32,
  d4: u32,      // D/4
  dout_ld: u32, // vec4
  out_ld: u32,  // vec4
  delta_ld: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> out: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = (w.x + w.y * n.x) * WG + t;
  if (i >= p.rows * p.heads) {
    return;
  }
  let row = i / p.heads;
  let head = i % p.heads;
  let a = row * p.dout_ld + head * p.d4;
  let b = row * p.out_ld + head * p.d4;
  var s = 0.0;
  for (var d = 0u; d < p.d4; d++) {
    s += dot(dout[a + d], out[b + d]);
  }
  delta[head * p.delta_ld + row] = s;
}
