// gram: part[pair, slot] = sum over the slot's columns of J[i, c] * J[j, c], for all pairs i >= j of at most 8 rows
//
// rows (ROWS, n) f32, row stride stride4 vec4, read
// root (n) f32, read; with WEIGHTED = 1 every row is multiplied by it, else it is not read
// part (ROWS*(ROWS+1)/2, slots) f32, write; pair i*(i+1)/2 + j
//
// The first of the stages of G = J J^T: the sums over slots follow in gram_fold
// and, in float64, on the host. One invocation is one slot: it sums STRIP vec4
// columns of every pair from registers, so that each gradient value is loaded
// once and no workgroup memory or barrier is needed. LANES neighbouring slots
// share a range of columns: 128 contiguous bytes per load, which is what GPUs
// fetch at once, and a forward walk through memory on a CPU rasterizer, which
// runs 8 invocations to their end before the next 8: twice as fast there as
// 64 slots side by side, and as fast as combine, which loads the same and sums.
// A slot sums 4*STRIP products: summation is blocked, which keeps the error of
// G near one float32 ulp; compensated sums would not survive fast-math.
// Requires 1 <= ROWS <= 8; columns n..4*n4-1, if any, hold zeros.
// Dispatch: ceil(n4 / (64*STRIP)) workgroups folded over (x, y); slots = 64 x that.
// Reference: internal/ref/gram.go
override ROWS: u32 = 8;
override STRIP: u32 = 64;
override WEIGHTED: u32 = 0;

const LANES: u32 = 8u; // slots that share a range of columns

struct Params { n4: u32, stride4: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> root: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;

fn load(r: u32, k: u32) -> vec4<f32> {
  if (r < ROWS) {
    if (WEIGHTED != 0u) { return rows[r * p.stride4 + k] * root[k]; }
    return rows[r * p.stride4 + k];
  }
  return vec4<f32>(0.0, 0.0, 0.0, 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let slot = (group.x + group.y * groups.x) * 64u + t;
  if (slot >= p.slots) { return; }
  // The rows of the lower triangle of G, each split in columns 0..3 and 4..7.
  var g0 = 0.0;
  var g1 = vec2<f32>(0.0, 0.0);
  var g2 = vec3<f32>(0.0, 0.0, 0.0);
  var g3 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g4 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g5 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g6 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g7 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var h4 = 0.0;
  var h5 = vec2<f32>(0.0, 0.0);
  var h6 = vec3<f32>(0.0, 0.0, 0.0);
  var h7 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  let first = (slot / LANES) * LANES * STRIP;
  let end = min(p.n4, first + LANES * STRIP);
  for (var k = first + slot % LANES; k < end; k += LANES) {
    let a = load(0u, k); let b = load(1u, k); let c = load(2u, k); let d = load(3u, k);
    let e = load(4u, k); let f = load(5u, k); let g = load(6u, k); let h = load(7u, k);
    g0 += dot(a, a);
    if (ROWS > 1u) { g1 += vec2<f32>(dot(b, a), dot(b, b)); }
    if (ROWS > 2u) { g2 += vec3<f32>(dot(c, a), dot(c, b), dot(c, c)); }
    if (ROWS > 3u) { g3 += vec4<f32>(dot(d, a), dot(d, b), dot(d, c), dot(d, d)); }
    if (ROWS > 4u) { g4 += vec4<f32>(dot(e, a), dot(e, b), dot(e, c), dot(e, d)); h4 += dot(e, e); }
    if (ROWS > 5u) { g5 += vec4<f32>(dot(f, a), dot(f, b), dot(f, c), dot(f, d)); h5 += vec2<f32>(dot(f, e), dot(f, f)); }
    if (ROWS > 6u) { g6 += vec4<f32>(dot(g, a), dot(g, b), dot(g, c), dot(g, d)); h6 += vec3<f32>(dot(g, e), dot(g, f), dot(g, g)); }
    if (ROWS > 7u) { g7 += vec4<f32>(dot(h, a), dot(h, b), dot(h, c), dot(h, d)); h7 += vec4<f32>(dot(h, e), dot(h, f), dot(h, g), dot(h, h)); }
  }
  let s = p.slots;
  part[slot] = g0;
  if (ROWS > 1u) { part[slot + s] = g1.x; part[slot + 2u * s] = g1.y; }
  if (ROWS > 2u) { part[slot + 3u * s] = g2.x; part[slot + 4u * s] = g2.y; part[slot + 5u * s] = g2.z; }
  if (ROWS > 3u) { part[slot + 6u * s] = g3.x; part[slot + 7u * s] = g3.y; part[slot + 8u * s] = g3.z; part[slot + 9u * s] = g3.w; }
  if (ROWS > 4u) {
    part[slot + 10u * s] = g4.x; part[slot + 11u * s] = g4.y; part[slot + 12u * s] = g4.z; part[slot + 13u * s] = g4.w;
    part[slot + 14u * s] = h4;
  }
  if (ROWS > 5u) {
    part[slot + 15u * s] = g5.x; part[slot + 16u * s] = g5.y; part[slot + 17u * s] = g5.z; part[slot + 18u * s] = g5.w;
    part[slot + 19u * s] = h5.x; part[slot + 20u * s] = h5.y;
  }
  if (ROWS > 6u) {
    part[slot + 21u * s] = g6.x; part[slot + 22u * s] = g6.y; part[slot + 23u * s] = g6.z; part[slot + 24u * s] = g6.w;
    part[slot + 25u * s] = h6.x; part[slot + 26u * s] = h6.y; part[slot + 27u * s] = h6.z;
  }
  if (ROWS > 7u) {
    part[slot + 28u * s] = g7.x; part[slot + 29u * s] = g7.y; part[slot + 30u * s] = g7.z; part[slot + 31u * s] = g7.w;
    part[slot + 32u * s] = h7.x; part[slot + 33u * s] = h7.y; part[slot + 34u * s] = h7.z; part[slot + 35u * s] = h7.w;
  }
}
