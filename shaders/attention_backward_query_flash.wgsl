// attention_backward_query_flash: gradient of causal grouped-query attention
// with respect to the queries, tiled in workgroup memory:
//   P[i,j] = exp(scale * q[i,h].k[j,h/group] - lse[h,i]),   start[i] <= j <= i
//   dq[i,h] = scale * sum_j P[i,j] * (dout[i,h].v[j,h/group] - delta[h,i]) * k[j,h/group]
//
// start       (N) u32, first row of the token's document, read
// q, dout     (N, H*D) f32, row-major, read
// k, v        (N, H/group*D) f32, row-major, read
// lse, delta  (H, N) f32, row-major, read
// dq          (N, H*D) f32, row-major, write (read too when first_key > 0)
//
// One workgroup of 64 = 8x8 threads per 32 queries of one head; keys come in
// tiles of 32, 4x4 scores per thread, D in chunks of 32 floats. A dispatch
// covers keys first_key .. first_key+keys-1 counted from the first query's
// document start; a later dispatch adds to dq.
// Control flow at barriers depends on the workgroup only.
// Loop iterations per key tile: 1 + ceil(D/32) * 102. Workgroup memory 8 KiB.
// Requires D a multiple of 4, at most 256; leading dimensions multiples of 4.
// Dispatch: end - first workgroups folded over (x, y), of ceil(N/32) * H tiles in sum.
// Reference: internal/ref/attention.go. Dao 2023, FlashAttention-2, algorithm 2.
override HEAD_DIM: u32 = 64;
const MAX_NC: u32 = 8;    // chunks of 32 floats of the largest head
const NEG: f32 = -3.0e38; // exp gives 0

//#include attention_backward_query

var<workgroup> xs: array<vec4<f32>, 256>; // [32 d][8 queries/4]; then slopes [32 keys][8 queries/4]
var<workgroup> ys: array<vec4<f32>, 256>; // [32 d][8 keys/4]; then k [32 keys][8 d/4]

//#include attention_splat

//#include attention_backward_tile

//#include attention_slope

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let D4 = HEAD_DIM / 4u;
  let NC = (D4 + 7u) / 8u;
  let blocks = (p.rows + 31u) / 32u;
  let i = p.first + w.x + w.y * n.x;
  if (i >= p.end) {
    return;
  }
  let h = i / blocks;
  let kv = h / p.group * D4;
  let q0 = (i % blocks) * 32u;
  let last = min(q0 + 31u, p.rows - 1u);
  let begin = start[q0] + p.first_key;
  let end = min(begin + p.keys, last + 1u);
  if (begin >= end) {
    return;
  }
  let tr = t / 8u;
  let tc = t % 8u;
  let r0 = q0 + tr * 4u; // this thread's first query
  let rows = min(splat(r0) + vec4<u32>(0u, 1u, 2u, 3u), splat(p.rows - 1u));
  let lo = vec4<u32>(start[rows.x], start[rows.y], start[rows.z], start[rows.w]);
  let put = tc * 32u + tr;
  var g: array<mat4x4<f32>, MAX_NC>; // column = query, row = d
  for (var k0 = begin; k0 < end; k0 += 32u) {
    let loaded = min(splat(k0 + tr * 4u) + vec4<u32>(0u, 1u, 2u, 3u), splat(last));
    var s = mat4x4<f32>(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    var dp = s;
    for (var c = 0u; c < NC; c++) { // row = key, column = query
      let cc = c * 8u + tc;
      workgroupBarrier();
      put_x(put, q4(rows * p.q_ld + splat(h * D4), cc));
      put_y(put, k4(loaded * p.k_ld + splat(kv), cc));
      workgroupBarrier();
      s = product(s, tr, tc);
      workgroupBarrier();
      put_x(put, dout4(rows * p.dout_ld + splat(h * D4), cc));
      put_y(put, v4(loaded * p.v_ld + splat(kv), cc));
      workgroupBarrier();
      dp = product(dp, tr, tc);
    }
    let keys = splat(k0 + tc * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let ds = mat4x4<f32>(
      slope(s[0], dp[0], rows.x, lo.x, h, keys),
      slope(s[1], dp[1], rows.y, lo.y, h, keys),
      slope(s[2], dp[2], rows.z, lo.z, h, keys),
      slope(s[3], dp[3], rows.w, lo.w, h, keys));
    workgroupBarrier();
    put_x(put, transpose(ds));
    for (var c = 0u; c < NC; c++) {
      for (var j = t; j < 256u; j += 64u) {
        let cc = c * 8u + j % 8u;
        ys[j] = kept(k[min(k0 + j / 8u, last) * p.k_ld + kv + inside(cc)], cc);
      }
      workgroupBarrier();
      g[c] = product(g[c], tr, tc);
      workgroupBarrier();
    }
  }
  for (var c = 0u; c < NC; c++) {
    var y = g[c];
    let at = rows * p.dq_ld + splat(h * D4 + c * 8u + tc);
    if (c * 8u + tc < D4 && r0 < p.rows) { // rows beyond the last query repeat it: the same values, stored again
      if (p.first_key > 0u) {
        y = y + mat4x4<f32>(dq[at.x], dq[at.y], dq[at.z], dq[at.w]);
      }
      dq[at.x] = y[0];
      dq[at.y] = y[1];
      dq[at.z] = y[2];
      dq[at.w] = y[3];
    }
  }
}
