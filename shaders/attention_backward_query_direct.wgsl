// attention_backward_query_direct: gradient of causal grouped-query attention
// with respect to the queries, without workgroup memory or barriers:
//   P[i,j] = exp(scale * q[i,h].k[j,h/group] - lse[h,i]),   start[i] <= j <= i
//   dq[i,h] = scale * sum_j P[i,j] * (dout[i,h].v[j,h/group] - delta[h,i]) * k[j,h/group]
//
// start       (N) u32, first row of the token's document, read
// q, dout     (N, H*D) f32, row-major, read
// k, v        (N, H/group*D) f32, row-major, read
// lse, delta  (H, N) f32, row-major, read
// dq          (N, H*D) f32, row-major, write (read too when first_key > 0)
//
// One invocation per 4 adjacent queries of one head, keys 4 at a time, all
// products of 4x4 matrices, summed in dq itself. A dispatch covers keys first_key .. first_key+keys-1 counted from the first
// query's document start; a later dispatch adds to dq.
// Loop iterations: keys/4 * (1 + D/2).
// Requires D a multiple of 4; leading dimensions multiples of 4.
// Dispatch: ceil((end - first) / WG) workgroups folded over (x, y), of ceil(N/4) * H tiles in sum.
// Reference: internal/ref/attention.go. Dao 2023, FlashAttention-2, algorithm 2.
override HEAD_DIM: u32 = 64;
override WG: u32 = 32;
const NEG: f32 = -3.0e38; // exp gives 0

//#include attention_backward_query

//#include attention_splat

//#include attention_rows

fn dout4(at: vec4<u32>, d: u32) -> mat4x4<f32> {
  return mat4x4<f32>(dout[at.x + d], dout[at.y + d], dout[at.z + d], dout[at.w + d]);
}

//#include attention_slope

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let D4 = HEAD_DIM / 4u;
  let blocks = (p.rows + 3u) / 4u;
  let i = p.first + (w.x + w.y * n.x) * WG + t;
  if (i >= p.end) {
    return;
  }
  let head = i / blocks;
  // Rows beyond the last query repeat it: the same values, stored again.
  let rows = min(splat((i % blocks) * 4u) + vec4<u32>(0u, 1u, 2u, 3u), splat(p.rows - 1u));
  let lo = vec4<u32>(start[rows.x], start[rows.y], start[rows.z], start[rows.w]);
  let begin = lo.x + p.first_key;
  let end = min(begin + p.keys, rows.w + 1u);
  if (begin >= end) {
    return;
  }
  let qa = rows * p.q_ld + splat(head * D4);
  let da = rows * p.dout_ld + splat(head * D4);
  let ga = rows * p.dq_ld + splat(head * D4);
  let kv = splat(head / p.group * D4);
  for (var j = begin; j < end; j += 4u) {
    let keys = splat(j) + vec4<u32>(0u, 1u, 2u, 3u);
    let ka = min(keys, splat(rows.w)) * p.k_ld + kv;
    let va = min(keys, splat(rows.w)) * p.v_ld + kv;
    var s = mat4x4<f32>(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    var dp = s;
    for (var d = 0u; d < D4; d++) { // row = key, column = query
      s = s + transpose(k4(ka, d)) * q4(qa, d);
      dp = dp + transpose(v4(va, d)) * dout4(da, d);
    }
    let ds = mat4x4<f32>(
      slope(s[0], dp[0], rows.x, lo.x, head, keys),
      slope(s[1], dp[1], rows.y, lo.y, head, keys),
      slope(s[2], dp[2], rows.z, lo.z, head, keys),
      slope(s[3], dp[3], rows.w, lo.w, head, keys));
    for (var d = 0u; d < D4; d++) {
      var y = k4(ka, d) * ds;
      if (j > begin || p.first_key > 0u) {
        y = y + mat4x4<f32>(dq[ga.x + d], dq[ga.y + d], dq[ga.z + d], dq[ga.w + d]);
      }
      dq[ga.x + d] = y[0];
      dq[ga.y + d] = y[1];
      dq[ga.z + d] = y[2];
      dq[ga.w + d] = y[3];
    }
  }
}
