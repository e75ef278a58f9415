// gram_cross: part[i*8 + j, slot] = sum over the slot's columns of A[i, c] * B[j, c], for at most 8 rows A and B
//
// a    (HEIGHT, n) f32, row stride stride4 vec4, read
// b    (ROWS, n) f32, row stride stride4 vec4, read
// root (n) f32, read; with WEIGHTED = 1 every row is multiplied by it, else it is not read
// part (64, slots) f32, write; pairs with i >= HEIGHT or j >= ROWS are zeros
//
// With first > 0, a is J from its first row on, b J from row 8*first on, and group z does
// block (r, c) of G: (first, 0), (first, 1) to (first, first - 1), (first + 1, 0) and so on.
// Its sums lie where gram's notes on z say.
//
// The off-diagonal blocks of G = J J^T for more than 8 objectives; gram does the
// diagonal ones, and its notes on slots, STRIP and accuracy hold here. 8 x 8
// blocks from registers do 4 multiply-adds per value loaded, and need no
// workgroup memory. a and b may be ranges of one buffer, as both are only read.
// Requires 1 <= ROWS <= HEIGHT <= 8; columns n..4*n4-1, if any, hold zeros.
// Dispatch: ceil(slots / WG) workgroups in x, blocks in z; slots >= n4 / STRIP, a multiple of LANES.
// Reference: internal/ref/gram.go
override HEIGHT: u32 = 8;
override ROWS: u32 = 8;
override STRIP: u32 = 64;
override WEIGHTED: u32 = 0;
override WG: u32 = 64;

const LANES: u32 = 8u; // slots that share a range of columns

struct Params { n4: u32, stride4: u32, slots: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> root: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> part: array<f32>;

fn load_a(r: u32, k: u32, block: u32) -> vec4<f32> {
  if (r < HEIGHT) {
    if (WEIGHTED != 0u) { return a[(block + r) * p.stride4 + k] * root[k]; }
    return a[(block + r) * p.stride4 + k];
  }
  return vec4<f32>(0.0, 0.0, 0.0, 0.0);
}

fn load_b(r: u32, k: u32, block: u32) -> vec4<f32> {
  if (r < ROWS) {
    if (WEIGHTED != 0u) { return b[(block + r) * p.stride4 + k] * root[k]; }
    return b[(block + r) * p.stride4 + k];
  }
  return vec4<f32>(0.0, 0.0, 0.0, 0.0);
}

fn store(pair: u32, slot: u32, v: vec4<f32>) {
  part[pair * p.slots + slot] = v.x;
  part[(pair + 1u) * p.slots + slot] = v.y;
  part[(pair + 2u) * p.slots + slot] = v.z;
  part[(pair + 3u) * p.slots + slot] = v.w;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let slot = (group.x + group.y * groups.x) * WG + t;
  if (slot >= p.slots) { return; }
  var r = p.first;
  var c = group.z;
  for (; r > 0u && c >= r; r++) { c -= r; }
  let before = 32u * r * (r - min(r, 1u)) + 36u * r + 64u * c; // pairs of the blocks before this one
  let ra = 8u * c;
  let rb = 8u * (r - p.first);
  // Row i of the block: columns 0..3 in g<i>, 4..7 in h<i>.
  var g0 = vec4<f32>(0.0, 0.0, 0.0, 0.0); var h0 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g1 = vec4<f32>(0.0, 0.0, 0.0, 0.0); var h1 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g2 = vec4<f32>(0.0, 0.0, 0.0, 0.0); var h2 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g3 = vec4<f32>(0.0, 0.0, 0.0, 0.0); var h3 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g4 = vec4<f32>(0.0, 0.0, 0.0, 0.0); var h4 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g5 = vec4<f32>(0.0, 0.0, 0.0, 0.0); var h5 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g6 = vec4<f32>(0.0, 0.0, 0.0, 0.0); var h6 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var g7 = vec4<f32>(0.0, 0.0, 0.0, 0.0); var h7 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  let first = (slot / LANES) * LANES * STRIP;
  let end = min(p.n4, first + LANES * STRIP);
  for (var k = first + slot % LANES; k < end; k += LANES) {
    let y0 = load_b(0u, k, rb); let y1 = load_b(1u, k, rb); let y2 = load_b(2u, k, rb); let y3 = load_b(3u, k, rb);
    let y4 = load_b(4u, k, rb); let y5 = load_b(5u, k, rb); let y6 = load_b(6u, k, rb); let y7 = load_b(7u, k, rb);
    let x0 = load_a(0u, k, ra); g0 += vec4<f32>(dot(x0, y0), dot(x0, y1), dot(x0, y2), dot(x0, y3));
    let x1 = load_a(1u, k, ra); g1 += vec4<f32>(dot(x1, y0), dot(x1, y1), dot(x1, y2), dot(x1, y3));
    let x2 = load_a(2u, k, ra); g2 += vec4<f32>(dot(x2, y0), dot(x2, y1), dot(x2, y2), dot(x2, y3));
    let x3 = load_a(3u, k, ra); g3 += vec4<f32>(dot(x3, y0), dot(x3, y1), dot(x3, y2), dot(x3, y3));
    let x4 = load_a(4u, k, ra); g4 += vec4<f32>(dot(x4, y0), dot(x4, y1), dot(x4, y2), dot(x4, y3));
    let x5 = load_a(5u, k, ra); g5 += vec4<f32>(dot(x5, y0), dot(x5, y1), dot(x5, y2), dot(x5, y3));
    let x6 = load_a(6u, k, ra); g6 += vec4<f32>(dot(x6, y0), dot(x6, y1), dot(x6, y2), dot(x6, y3));
    let x7 = load_a(7u, k, ra); g7 += vec4<f32>(dot(x7, y0), dot(x7, y1), dot(x7, y2), dot(x7, y3));
    if (ROWS > 4u) {
      h0 += vec4<f32>(dot(x0, y4), dot(x0, y5), dot(x0, y6), dot(x0, y7));
      h1 += vec4<f32>(dot(x1, y4), dot(x1, y5), dot(x1, y6), dot(x1, y7));
      h2 += vec4<f32>(dot(x2, y4), dot(x2, y5), dot(x2, y6), dot(x2, y7));
      h3 += vec4<f32>(dot(x3, y4), dot(x3, y5), dot(x3, y6), dot(x3, y7));
      h4 += vec4<f32>(dot(x4, y4), dot(x4, y5), dot(x4, y6), dot(x4, y7));
      h5 += vec4<f32>(dot(x5, y4), dot(x5, y5), dot(x5, y6), dot(x5, y7));
      h6 += vec4<f32>(dot(x6, y4), dot(x6, y5), dot(x6, y6), dot(x6, y7));
      h7 += vec4<f32>(dot(x7, y4), dot(x7, y5), dot(x7, y6), dot(x7, y7));
    }
  }
  store(before, slot, g0); store(before + 4u, slot, h0);
  store(before + 8u, slot, g1); store(before + 12u, slot, h1);
  store(before + 16u, slot, g2); store(before + 20u, slot, h2);
  store(before + 24u, slot, g3); store(before + 28u, slot, h3);
  store(before + 32u, slot, g4); store(before + 36u, slot, h4);
  store(before + 40u, slot, g5); store(before + 44u, slot, h5);
  store(before + 48u, slot, g6); store(before + 52u, slot, h6);
  store(before + 56u, slot, g7); store(before + 60u, slot, h7);
}
