// gram_tile: part[pair, slot] = sum over the slot's columns of A[i, c] * B[j, c], for at most 32 rows A and B
//
// a    (HEIGHT, n) f32, row stride stride4 vec4, read
// b    (ROWS, n) f32, row stride stride4 vec4, read; with SAME = 1 it is a and not read
// root (n) f32, read; with WEIGHTED = 1 every row is multiplied by it, else it is not read
// part (pairs, slots) f32, write; pair i*ROWS + j, or with SAME = 1, j <= i, i*(i+1)/2 + j
//
// G = J J^T for more than 8 objectives, by blocks of 32: a workgroup brings 32
// columns of all rows into workgroup memory at a time, so that a value is loaded
// once for 32 products with the other rows. One workgroup is one slot of STEPS
// times 32 columns; 64 threads sum 4 x 4 pairs each, in ascending order of
// columns. Sums over slots follow in gram_fold and, in float64, on the host.
// A row of a tile takes 9 vec4, so that 8 rows read at once lie in other banks.
// Requires 1 <= ROWS, HEIGHT <= 32; columns n..4*n4-1, if any, hold zeros.
// Dispatch: ceil(n4 / (8*STEPS)) = slots workgroups folded over (x, y).
// Reference: internal/ref/gram.go
override HEIGHT: u32 = 32;
override ROWS: u32 = 32;
override SAME: u32 = 0;
override STEPS: u32 = 32;
override WEIGHTED: u32 = 0;

struct Params { n4: u32, stride4: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> root: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> part: array<f32>;

const LD: u32 = 9u; // vec4 of a row of a tile, 8 of them used

var<workgroup> xs: array<vec4<f32>, 288>; // [32 rows][LD] of a
var<workgroup> ys: array<vec4<f32>, 288>; // [32 rows][LD] of b

fn weighted(v: vec4<f32>, k: u32) -> vec4<f32> {
  if (WEIGHTED != 0u) { return v * root[k]; }
  return v;
}

// load brings vec4 k0 .. k0+7 of row i into xs and ys: this thread one of them.
fn load(i: u32, k0: u32, c: u32) {
  let k = k0 + c;
  var x = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var y = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  if (i < HEIGHT && k < p.n4) { x = weighted(a[i * p.stride4 + k], k); }
  xs[i * LD + c] = x;
  if (SAME != 0u) { return; }
  if (i < ROWS && k < p.n4) { y = weighted(b[i * p.stride4 + k], k); }
  ys[i * LD + c] = y;
}

// other is vec4 c of row j of b.
fn other(j: u32, c: u32) -> vec4<f32> {
  if (SAME != 0u) { return xs[j * LD + c]; }
  return ys[j * LD + c];
}

fn dots(x: vec4<f32>, y: mat4x4<f32>) -> vec4<f32> {
  return vec4<f32>(dot(x, y[0]), dot(x, y[1]), dot(x, y[2]), dot(x, y[3]));
}

// put writes the sums of row i with rows j .. j+3 of b.
fn put(i: u32, j: u32, slot: u32, v: vec4<f32>) {
  let end = select(ROWS, i + 1u, SAME != 0u);
  let first = select(i * ROWS, i * (i + 1u) / 2u, SAME != 0u) + j;
  if (i >= HEIGHT) { return; }
  if (j < end) { part[first * p.slots + slot] = v.x; }
  if (j + 1u < end) { part[(first + 1u) * p.slots + slot] = v.y; }
  if (j + 2u < end) { part[(first + 2u) * p.slots + slot] = v.z; }
  if (j + 3u < end) { part[(first + 3u) * p.slots + slot] = v.w; }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let slot = group.x + group.y * groups.x;
  if (slot >= p.slots) { return; } // uniform: slot is the workgroup's
  let i = (t / 8u) * 4u;
  let j = (t % 8u) * 4u;
  var s0 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var s1 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var s2 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  var s3 = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  let begin = slot * STEPS * 8u;
  let end = min(p.n4, begin + STEPS * 8u);
  for (var k = begin; k < end; k += 8u) {
    // Neighbouring threads read neighbouring vec4 of a row.
    load(t / 8u, k, t % 8u);
    load(t / 8u + 8u, k, t % 8u);
    load(t / 8u + 16u, k, t % 8u);
    load(t / 8u + 24u, k, t % 8u);
    workgroupBarrier();
    for (var c = 0u; c < 8u; c++) {
      let y = mat4x4<f32>(other(j, c), other(j + 1u, c), other(j + 2u, c), other(j + 3u, c));
      s0 += dots(xs[i * LD + c], y);
      s1 += dots(xs[(i + 1u) * LD + c], y);
      s2 += dots(xs[(i + 2u) * LD + c], y);
      s3 += dots(xs[(i + 3u) * LD + c], y);
    }
    workgroupBarrier();
  }
  put(i, j, slot, s0);
  put(i + 1u, j, slot, s1);
  put(i + 2u, j, slot, s2);
  put(i + 3u, j, slot, s3);
}
