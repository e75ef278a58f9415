// attention_backward_key_direct: gradient of causal grouped-query attention with
// respect to the keys (VALUES = 0) or the values (VALUES = 1), without workgroup
// memory, barriers or atomics:
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
// One invocation owns 4 adjacent keys of one key head; queries come 4 at a
// time, head by head of the group, all products of 4x4 matrices, summed in grad
// itself. A dispatch covers queries first_query ..
// first_query+queries-1 counted from the first key; a later one adds to grad.
// Two dispatches for dk and dv, as one would need nine storage buffers.
// Loop iterations: group * (1 + queries/4 * (1 + D/2)).
// Requires D a multiple of 4; leading dimensions multiples of 4.
// Dispatch: ceil((end - first) / WG) workgroups folded over (x, y), of ceil(N/4) * H/group tiles in sum.
// Reference: internal/ref/attention.go. Dao 2023, FlashAttention-2, algorithm 2.
override HEAD_DIM: u32 = 64;
override VALUES: u32 = 0;
override WG: u32 = 32;
const NEG: f32 = -3.0e38; // exp gives 0

//#include attention_backward_key

//#include attention_splat

//#include attention_rows

fn dout4(at: vec4<u32>, d: u32) -> mat4x4<f32> {
  return mat4x4<f32>(dout[at.x + d], dout[at.y + d], dout[at.z + d], dout[at.w + d]);
}

//#include softcap

// weigh is P of 4 queries against one key whose document ends at stop.
fn weigh(s: vec4<f32>, le: vec4<f32>, queries: vec4<u32>, key: u32, stop: u32) -> vec4<f32> {
  return exp(select(vec4<f32>(NEG, NEG, NEG, NEG), capped(s * p.scale) - le, (queries >= splat(key)) & (queries < splat(stop))));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let D4 = HEAD_DIM / 4u;
  let blocks = (p.rows + 3u) / 4u;
  let block = p.first + (w.x + w.y * n.x) * WG + t;
  if (block >= p.end) {
    return;
  }
  let kv = block / blocks;
  // Keys beyond the last repeat it: the same values, stored again.
  let keys = min(splat((block % blocks) * 4u) + vec4<u32>(0u, 1u, 2u, 3u), splat(p.rows - 1u));
  let stop = vec4<u32>(end[keys.x], end[keys.y], end[keys.z], end[keys.w]);
  let begin = keys.x + p.first_query;
  let finish = min(begin + p.queries, stop.w);
  if (begin >= finish) {
    return;
  }
  let ka = keys * p.k_ld + splat(kv * D4);
  let va = keys * p.v_ld + splat(kv * D4);
  let ga = keys * p.grad_ld + splat(kv * D4);
  for (var h = kv * p.group; h < kv * p.group + p.group; h++) {
    for (var i = begin; i < finish; i += 4u) {
      let queries = splat(i) + vec4<u32>(0u, 1u, 2u, 3u);
      let rows = min(queries, splat(p.rows - 1u));
      let qa = rows * p.q_ld + splat(h * D4);
      let da = rows * p.dout_ld + splat(h * D4);
      let la = rows + splat(h * p.lse_ld);
      var s = mat4x4<f32>(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
      var dp = s;
      for (var d = 0u; d < D4; d++) { // row = query, column = key
        s = s + transpose(q4(qa, d)) * k4(ka, d);
        if (VALUES == 0u) {
          dp = dp + transpose(dout4(da, d)) * v4(va, d);
        }
      }
      let le = vec4<f32>(lse[la.x], lse[la.y], lse[la.z], lse[la.w]);
      let x = mat4x4<f32>(weigh(s[0], le, queries, keys.x, stop.x), weigh(s[1], le, queries, keys.y, stop.y),
        weigh(s[2], le, queries, keys.z, stop.z), weigh(s[3], le, queries, keys.w, stop.w));
      var c = x;
      if (VALUES == 0u) {
        let ea = rows + splat(h * p.delta_ld);
        let de = vec4<f32>(delta[ea.x], delta[ea.y], delta[ea.z], delta[ea.w]);
        c = mat4x4<f32>(x[0] * (dp[0] - de), x[1] * (dp[1] - de), x[2] * (dp[2] - de), x[3] * (dp[3] - de)) * p.scale;
        if (SOFTCAP > 0.0) {
          c = mat4x4<f32>(c[0] * bend(capped(s[0] * p.scale)), c[1] * bend(capped(s[1] * p.scale)),
            c[2] * bend(capped(s[2] * p.scale)), c[3] * bend(capped(s[3] * p.scale)));
        }
      }
      let fresh = i == begin && h == kv * p.group && p.first_query == 0u;
      for (var d = 0u; d < D4; d++) {
        var y: mat4x4<f32>;
        if (VALUES == 1u) {
          y = dout4(da, d) * c;
        } else {
          y = q4(qa, d) * c;
        }
        if (!fresh) {
          y = y + mat4x4<f32>(grad[ga.x + d], grad[ga.y + d], grad[ga.z + d], grad[ga.w + d]);
        }
        grad[ga.x + d] = y[0];
        grad[ga.y + d] = y[1];
        grad[ga.z + d] = y[2];
        grad[ga.w + d] = y[3];
      }
    }
  }
}
