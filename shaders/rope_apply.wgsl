// rope_apply: rotates every head of x by its token's position, in place, half-split form:
//   x[j], x[j+R/2] = x[j]*cos - sign*x[j+R/2]*sin, x[j+R/2]*cos + sign*x[j]*sin,   j < R/2
// of the first R of a head's D values; the others are kept.
//
// pos       (1, N) u32, read
// cosines, sines  (P, R/2) f32, row-major, read; row = position
// x         (N, H*D) f32, row-major, read and write
//
// One invocation per two adjacent j of one head (the unit of all vec2 indices);
// adjacent invocations touch adjacent addresses.
// sign = 1 is the forward rotation; sign = -1 its transpose, which is both the
// inverse and the backward. Tables come from the CPU: sin and cos of large
// arguments are wrong on some drivers.
// Requires D and R multiples of 4, leading dimensions even, pos[i] < P.
// Dispatch: ceil(pairs / WG) workgroups folded over (x, y), pairs = N*H*R/4.
// Reference: internal/ref/rope.go. Su et al. 2021, RoFormer, eq. 34, in the
// rotate_half order of Hugging Face checkpoints.
override WG: u32 = 64;

struct Params {
  pairs: u32,    // N*H*R/4
  heads: u32,
  head: u32,     // D/2: vec2 of a head
  half: u32,     // R/4: vec2 of one half of what is rotated
  x_ld: u32,     // vec2
  table_ld: u32, // vec2
  sign: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pos: array<u32>;
@group(0) @binding(2) var<storage, read> cosines: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> sines: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> x: array<vec2<f32>>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = (w.x + w.y * n.x) * WG + t;
  if (i >= p.pairs) {
    return;
  }
  let j = i % p.half;
  let head = (i / p.half) % p.heads;
  let token = i / (p.half * p.heads);
  let a = token * p.x_ld + head * p.head + j;
  let e = pos[token] * p.table_ld + j;
  let c = cosines[e];
  let s = sines[e] * p.sign;
  let x0 = x[a];
  let x1 = x[a + p.half];
  x[a] = x0 * c - x1 * s;
  x[a + p.half] = x1 * c + x0 * s;
}
