// trimmed_mean: out = mean of the values of the rows used that are left without the trim smallest and the trim largest
//
// rows (M, R, C) f32, read; objective m at m*stride
// out  (R, C) f32, write
//
// A value's rank is the number of values before it, equal ones in the order of
// the objectives: n^2 comparisons, n <= 64, and no sorted copy. Rows that mask
// leaves out are not read. Requires M <= 64 and 2*trim < the number of rows used.
// Dispatch: ceil(R*ld / 64) workgroups folded over (x, y).
// Reference: internal/ref/elementwise.go
// Paper: Yin et al., Byzantine-Robust Distributed Learning, ICML 2018.
struct Params { n: u32, stride: u32, m: u32, mask0: u32, mask1: u32, trim: u32, top: u32, share: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rows: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

fn used(m: u32) -> bool {
  let mask = select(p.mask1, p.mask0, m < 32u);
  return ((mask >> (m & 31u)) & 1u) == 1u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n) { return; }
  var sum = 0.0;
  for (var a = 0u; a < p.m; a++) {
    if (used(a)) {
      let g = rows[a * p.stride + i];
      var rank = 0u;
      for (var b = 0u; b < p.m; b++) {
        if (used(b) && b != a) {
          let h = rows[b * p.stride + i];
          if (h < g || (h == g && b < a)) { rank++; }
        }
      }
      if (rank >= p.trim && rank < p.top) { sum += g; }
    }
  }
  out[i] = p.share * sum;
}
