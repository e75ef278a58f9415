// Rows of C values shared by LANES invocations each.
var<workgroup> sums: array<f32, WG>;

// row_sum adds s over the lanes of a row, for all of them.
fn row_sum(t: u32, s: f32) -> f32 {
  let lane = t % LANES;
  workgroupBarrier();
  sums[t] = s;
  for (var d = LANES / 2u; d > 0u; d = d / 2u) {
    workgroupBarrier();
    if (lane < d) { sums[t] = sums[t] + sums[t + d]; }
  }
  workgroupBarrier();
  return sums[t - lane];
}

// inside is v with zeros where vec4 c of a row is padding.
fn inside(v: vec4<f32>, c: u32) -> vec4<f32> {
  return select(vec4<f32>(0.0), v, vec4<u32>(0u, 1u, 2u, 3u) + 4u * c < vec4<u32>(p.c));
}
