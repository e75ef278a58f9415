// gram: part[pair, slot] = sum over the slot's columns of J[i, c] * J[j, c], for all pairs i >= j of at most 8 rows
//
// rows (ROWS, n) f32, row stride stride4 vec4, read
// root (n) f32, read; with WEIGHTED = 1 every row is multiplied by it, else it is not read
// part (ROWS*(ROWS+1)/2, slots) f32, write; pair i*(i+1)/2 + j
//
// Group z does the rows from 8*z on, for ROWS = 8: diagonal block z of G, whose sums
// follow those of all blocks before it, row by row of the lower triangle: 64 pairs for a
// block that gram_cross makes, 36 for one of these.
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
// Dispatch: ceil(slots / WG) workgroups in x, blocks in z; slots >= n4 / STRIP, a multiple of LANES.
// Reference: internal/ref/gram.go
override ROWS: u32 = 8;
override STRIP: u32 = 64;
override WEIGHTED: u32 = 0;
override WG: u32 = 64;

const LANES: u32 = 8u; // slots that share a range of columns

struct Params { n4: u32, stride4: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> root: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> part: array<f32>;

fn load(r: u32, k: u32, z: u32) -> vec4<f32> {
  if (r < ROWS) {
    if (WEIGHTED != 0u) { return rows[(8u * z + r) * p.stride4 + k] * root[k]; }
    return rows[(8u * z + r) * p.stride4 + k];
  }
  return vec4<f32>(0.0, 0.0, 0.0, 0.0);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let z = group.z;
  let slot = (group.x + group.y * groups.x) * WG + t;
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
    let a = load(0u, k, z); let b = load(1u, k, z); let c = load(2u, k, z); let d = load(3u, k, z);
    let e = load(4u, k, z); let f = load(5u, k, z); let g = load(6u, k, z); let h = load(7u, k, z);
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
  let at = slot + (32u * z * (z + 1u) + 36u * z) * s;
  part[at] = g0;
  if (ROWS > 1u) { part[at + s] = g1.x; part[at + 2u * s] = g1.y; }
  if (ROWS > 2u) { part[at + 3u * s] = g2.x; part[at + 4u * s] = g2.y; part[at + 5u * s] = g2.z; }
  if (ROWS > 3u) { part[at + 6u * s] = g3.x; part[at + 7u * s] = g3.y; part[at + 8u * s] = g3.z; part[at + 9u * s] = g3.w; }
  if (ROWS > 4u) {
    part[at + 10u * s] = g4.x; part[at + 11u * s] = g4.y; part[at + 12u * s] = g4.z; part[at + 13u * s] = g4.w;
    part[at + 14u * s] = h4;
  }
  if (ROWS > 5u) {
    part[at + 15u * s] = g5.x; part[at + 16u * s] = g5.y; part[at + 17u * s] = g5.z; part[at + 18u * s] = g5.w;
    part[at + 19u * s] = h5.x; part[at + 20u * s] = h5.y;
  }
  if (ROWS > 6u) {
    part[at + 21u * s] = g6.x; part[at + 22u * s] = g6.y; part[at + 23u * s] = g6.z; part[at + 24u * s] = g6.w;
    part[at + 25u * s] = h6.x; part[at + 26u * s] = h6.y; part[at + 27u * s] = h6.z;
  }
  if (ROWS > 7u) {
    part[at + 28u * s] = g7.x; part[at + 29u * s] = g7.y; part[at + 30u * s] = g7.z; part[at + 31u * s] = g7.w;
    part[at + 32u * s] = h7.x; part[at + 33u * s] = h7.y; part[at + 34u * s] = h7.z; part[at + 35u * s] = h7.w;
  }
}
