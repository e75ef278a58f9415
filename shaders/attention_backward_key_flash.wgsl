// attention_backward_key_flash: gradient of causal grouped-query attention with
// respect to the keys (VALUES = 0) or the values (VALUES = 1), tiled in workgroup
// memory, without atomics:
//   P[i,j] = exp(scale * q[i,h].k[j,h'] - lse[h,i]),   j <= i < end[j],  h' = h/group
//   dv[j,h'] = sum over i, h of  P[i,j] * dout[i,h]
//   dk[j,h'] = sum over i, h of  scale * P[i,j] * (dout[i,h].v[j,h'] - delta[h,i]) * q[i,h]
//
// end         (N) u32, row after the token's document, read
// q, dout     (N, H*D) f32, row-major, read
// k, v        (N, H/group*D) f32, row-major, read (v not used when VALUES = 1)
// lse, delta  (H, N) f32, row-major, read (delta not used when VALUES = 1)
// grad        (N, H/group*D) f32, row-major: dk or dv, write (read too when first_query > 0)
//
// One workgroup of 64 = 8x8 threads owns 32 keys of one key head; queries come
// in tiles of 32, head by head of the group, 4x4 scores per thread, D in chunks
// of 32 floats. A dispatch covers queries first_query .. first_query+queries-1
// counted from the first key; a later one adds to grad.
// Two dispatches for dk and dv, as one would need nine storage buffers; it also
// halves the accumulators.
// Control flow at barriers depends on the workgroup only.
// Loop iterations: group * (1 + queries/32 * (1 + ceil(D/32) * 102)). Workgroup memory 8 KiB.
// Requires D a multiple of 4, at most 256; leading dimensions multiples of 4.
// Dispatch: end - first workgroups folded over (x, y), of ceil(N/32) * H/group tiles in sum.
// Reference: internal/ref/attention.go. Dao 2023, FlashAttention-2, algorithm 2.
override HEAD_DIM: u32 = 64;
override VALUES: u32 = 0;
const MAX_NC: u32 = 8;    // chunks of 32 floats of the largest head
const NEG: f32 = -3.0e38; // exp gives 0

//#include attention_backward_key

var<workgroup> xs: array<vec4<f32>, 256>; // [32 d][8 queries/4]; then P or slopes [32 queries][8 keys/4]
var<workgroup> ys: array<vec4<f32>, 256>; // [32 d][8 keys/4]; then dout or q [32 queries][8 d/4]

//#include attention_splat

//#include attention_backward_tile

fn source(row: u32, head: u32, c: u32) -> vec4<f32> {
  if (VALUES == 1u) {
    return kept(dout[row * p.dout_ld + head * (HEAD_DIM / 4u) + inside(c)], c);
  }
  return kept(q[row * p.q_ld + head * (HEAD_DIM / 4u) + inside(c)], c);
}

//#include softcap

// weigh is P, or scale * P * (dP - delta), of query i against 4 keys.
fn weigh(s: vec4<f32>, dp: vec4<f32>, i: u32, head: u32, keys: vec4<u32>, stop: vec4<u32>) -> vec4<f32> {
  let row = min(i, p.rows - 1u);
  let le = lse[head * p.lse_ld + row];
  let z = capped(s * p.scale);
  let x = exp(select(vec4<f32>(NEG, NEG, NEG, NEG), z - vec4<f32>(le, le, le, le), (splat(i) >= keys) & (splat(i) < stop)));
  if (VALUES == 1u) {
    return x;
  }
  let de = delta[head * p.delta_ld + row];
  return x * (dp - vec4<f32>(de, de, de, de)) * p.scale * bend(z);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let D4 = HEAD_DIM / 4u;
  let NC = (D4 + 7u) / 8u;
  let blocks = (p.rows + 31u) / 32u;
  let block = p.first + w.x + w.y * n.x;
  if (block >= p.end) {
    return;
  }
  let kv = block / blocks;
  let k0 = (block % blocks) * 32u;
  let begin = k0 + p.first_query;
  let finish = min(begin + p.queries, end[min(k0 + 31u, p.rows - 1u)]);
  if (begin >= finish) {
    return;
  }
  let tr = t / 8u;
  let tc = t % 8u;
  let put = tc * 32u + tr;
  let bound = splat(p.rows - 1u);
  let quad = vec4<u32>(0u, 1u, 2u, 3u);
  let mine = min(splat(k0 + tr * 4u) + quad, bound); // the keys this thread loads and accumulates
  let keys = min(splat(k0 + tc * 4u) + quad, bound); // the keys this thread scores
  let stop = vec4<u32>(end[keys.x], end[keys.y], end[keys.z], end[keys.w]);
  var g: array<mat4x4<f32>, MAX_NC>; // column = key, row = d
  for (var h = kv * p.group; h < kv * p.group + p.group; h++) {
    for (var q0 = begin; q0 < finish; q0 += 32u) {
      let r0 = q0 + tr * 4u;
      let rows = min(splat(r0) + quad, bound);
      var s = mat4x4<f32>(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
      var dp = s;
      for (var c = 0u; c < NC; c++) { // row = key, column = query
        let cc = c * 8u + tc;
        workgroupBarrier();
        put_x(put, q4(rows * p.q_ld + splat(h * D4), cc));
        put_y(put, k4(mine * p.k_ld + splat(kv * D4), cc));
        workgroupBarrier();
        s = product(s, tr, tc);
        if (VALUES == 0u) {
          workgroupBarrier();
          put_x(put, dout4(rows * p.dout_ld + splat(h * D4), cc));
          put_y(put, v4(mine * p.v_ld + splat(kv * D4), cc));
          workgroupBarrier();
          dp = product(dp, tr, tc);
        }
      }
      workgroupBarrier();
      let at = tr * 32u + tc; // [query][keys/4]
      xs[at] = weigh(s[0], dp[0], r0, h, keys, stop);
      xs[at + 8u] = weigh(s[1], dp[1], r0 + 1u, h, keys, stop);
      xs[at + 16u] = weigh(s[2], dp[2], r0 + 2u, h, keys, stop);
      xs[at + 24u] = weigh(s[3], dp[3], r0 + 3u, h, keys, stop);
      for (var c = 0u; c < NC; c++) {
        for (var j = t; j < 256u; j += 64u) {
          ys[j] = source(min(q0 + j / 8u, bound.x), h, c * 8u + j % 8u);
        }
        workgroupBarrier();
        g[c] = product(g[c], tr, tc);
        workgroupBarrier();
      }
    }
  }
  for (var c = 0u; c < NC; c++) {
    var y = g[c];
    let at = mine * p.grad_ld + splat(kv * D4 + c * 8u + tc);
    if (c * 8u + tc < D4 && k0 + tr * 4u < p.rows) { // keys beyond the last repeat it: the same values, stored again
      if (p.first_query > 0u) {
        y = y + mat4x4<f32>(grad[at.x], grad[at.y], grad[at.z], grad[at.w]);
      }
      grad[at.x] = y[0];
      grad[at.y] = y[1];
      grad[at.z] = y[2];
      grad[at.w] = y[3];
    }
  }
}
