var<workgroup> sums: array<vec4<f32>, WG>;

// main sums term(r, c) over the tokens r of an objective into out.
@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let column = wid.x * COLS + t % COLS;
  let lane = t / COLS;
  let lanes = WG / COLS;
  let c = min(column, p.c4 - 1u); // no return before the barriers
  let m = p.base + wid.y;
  let end = starts[m + 1u];
  var s = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  for (var r = starts[m] + lane; r < end; r = r + lanes) {
    s = s + term(r, c);
  }
  sums[t] = s;
  for (var d = lanes / 2u; d > 0u; d = d / 2u) {
    workgroupBarrier();
    if (lane < d) { sums[t] = sums[t] + sums[t + d * COLS]; }
  }
  if (lane > 0u || column >= p.c4) { return; }
  let at = wid.y * p.stride4 + c;
  var g = sums[t]; // lane 0 wrote it itself
  if (p.accumulate != 0u) { g = g + out[at]; }
  out[at] = g;
}
