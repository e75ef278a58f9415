// dora_squares: out[j] (+)= sum over c of (w[j, c] + s sum over k of b[j, k] a[k, c])^2
//
// w   (n, C) of element type W as rows of w_ld4 vec4, read
// a   (rank, C) f32 as rows of a_ld4 vec4, read
// b   (n, rank) f32 as rows of b_ld, read
// out (n) f32, read and write: the squared norm of each row; added to if accumulate
//
// LANES invocations per row, WG / LANES rows per workgroup. A dispatch takes the vec4
// columns first .. end - 1, so that an invocation loops (end - first) / LANES * rank
// times at most. The sum W + s B A of a row exists nowhere but in registers.
// The padding of out becomes zero.
// Dispatch: ceil(n4 / (WG / LANES)) workgroups folded over (x, y), n4 = n rounded up to 4.
// Reference: internal/ref/dora.go
// Paper: Liu et al., DoRA, arXiv:2402.09353, equation 5.
override WG: u32 = 64;
override LANES: u32 = 8;
//#include load4_{W=f32} w

struct Params {
  n: u32,
  c: u32,
  first: u32,
  end: u32,
  w_ld4: u32,
  a_ld4: u32,
  b_ld: u32,
  rank: u32,
  accumulate: u32,
  s: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> w: array<Packed_w>;
@group(0) @binding(2) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

//#include row_sum

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * (WG / LANES) + t / LANES;
  let j = min(row, p.n - 1u); // no return before the barriers
  var s = 0.0;
  for (var c = p.first + t % LANES; c < p.end; c = c + LANES) {
    var v = vec4<f32>(0.0, 0.0, 0.0, 0.0);
    for (var k = 0u; k < p.rank; k = k + 1u) {
      v = v + b[j * p.b_ld + k] * a[k * p.a_ld4 + c];
    }
    v = inside(load4_w(j * p.w_ld4 + c) + p.s * v, c);
    s = s + dot(v, v);
  }
  s = row_sum(t, s);
  if (row >= (p.n + 3u) / 4u * 4u || t % LANES != 0u) { return; }
  if (p.accumulate != 0u) { s = s + out[row]; }
  out[row] = select(0.0, s, row < p.n);
}
