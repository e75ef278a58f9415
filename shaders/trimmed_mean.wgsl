// trimmed_mean: out = mean of the values of the rows used that are left without the trim smallest and the trim largest
//
// rows (M, R, C) f32 as vec4, read; objective m at m*stride4
// out  (R, C) f32 as vec4, write
//
// A value's rank is the number of values before it, equal ones in the order of
// the objectives: n^2 comparisons, n <= 64, and no sorted copy. One vec4 per
// invocation; zero padding stays zero. Rows that mask
// leaves out are not read. Requires M <= 64 and 2*trim < the number of rows used.
// Dispatch: ceil(R*ld4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/elementwise.go
// Paper: Yin et al., Byzantine-Robust Distributed Learning, ICML 2018.
struct Params { n4: u32, stride4: u32, m: u32, mask0: u32, mask1: u32, trim: f32, top: f32, share: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

fn used(m: u32) -> bool {
  let mask = select(p.mask1, p.mask0, m < 32u);
  return ((mask >> (m & 31u)) & 1u) == 1u;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n4) { return; }
  let zero = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  let one = vec4<f32>(1.0, 1.0, 1.0, 1.0);
  let trim = vec4<f32>(p.trim, p.trim, p.trim, p.trim);
  let top = vec4<f32>(p.top, p.top, p.top, p.top);
  var sum = zero;
  for (var a = 0u; a < p.m; a++) {
    if (used(a)) {
      let g = rows[a * p.stride4 + i];
      var rank = zero;
      for (var b = 0u; b < a; b++) {
        if (used(b)) { rank += select(zero, one, rows[b * p.stride4 + i] <= g); }
      }
      for (var b = a + 1u; b < p.m; b++) {
        if (used(b)) { rank += select(zero, one, rows[b * p.stride4 + i] < g); }
      }
      sum += select(zero, g, (rank >= trim) & (rank < top));
    }
  }
  out[i] = p.share * sum;
}
