// attention_forward_direct: causal grouped-query attention within documents,
//   out[i,h] = sum_j softmax_j(scale * q[i,h].k[j,h/group]) v[j,h/group],  start[i] <= j <= offset+i
//   lse[h,i] = log sum_j exp(scale * q[i,h].k[j,h/group])
// without workgroup memory or barriers: the form for CPU rasterizers.
//
// start  (Nq) u32, row of k, read
// q      (Nq, H*D) f32, row-major, read
// k, v   (Nk, H/group*D) f32, row-major, read
// out    (Nq, H*D) f32, row-major, write (read too when first_key > 0)
// lse    (H, Nq) f32, row-major, write (read too when first_key > 0)
//
// One invocation per 4 adjacent queries of one head, keys 4 at a time, all
// products of 4x4 matrices: every load serves 4 queries. Online softmax (running
// maximum m, sum l), the unnormalised output kept in out itself: indexed local
// arrays cost CPU rasterizers as much and compile for seconds. A dispatch covers keys first_key ..
// first_key+keys-1 counted from the first query's document start, and a later
// dispatch continues from (out, lse), so no invocation loops too long. Keys
// outside a query's range get weight 0 by select.
// Loop iterations: keys/4 * (1 + D/2) + D/4.
// Requires D a multiple of 4; leading dimensions multiples of 4.
// Dispatch: ceil((end - first) / WG) workgroups folded over (x, y), of ceil(Nq/4) * H tiles in sum.
// Reference: internal/ref/attention.go. Dao 2023, FlashAttention-2, algorithm 1.
override HEAD_DIM: u32 = 64;
override WG: u32 = 32;
const NEG: f32 = -3.0e38; // below every score

//#include attention_forward

//#include attention_splat

//#include attention_rows

fn out4(at: vec4<u32>, d: u32) -> mat4x4<f32> {
  return mat4x4<f32>(out[at.x + d], out[at.y + d], out[at.z + d], out[at.w + d]);
}

fn store(at: vec4<u32>, d: u32, y: mat4x4<f32>) {
  out[at.x + d] = y[0];
  out[at.y + d] = y[1];
  out[at.z + d] = y[2];
  out[at.w + d] = y[3];
}

//#include attention_scores

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let D4 = HEAD_DIM / 4u;
  let blocks = (p.nq + 3u) / 4u;
  let i = p.first + (w.x + w.y * n.x) * WG + t;
  if (i >= p.end) {
    return;
  }
  let head = i / blocks;
  // Rows beyond the last query repeat it: the same values, stored again.
  let rows = min(splat((i % blocks) * 4u) + vec4<u32>(0u, 1u, 2u, 3u), splat(p.nq - 1u));
  let lo = vec4<u32>(start[rows.x], start[rows.y], start[rows.z], start[rows.w]);
  let hi = rows + splat(p.offset);
  let begin = lo.x + p.first_key;
  let end = min(begin + p.keys, hi.w + 1u);
  if (begin >= end) {
    return;
  }
  let qa = rows * p.q_ld + splat(head * D4);
  let oa = rows * p.out_ld + splat(head * D4);
  let la = rows + splat(head * p.lse_ld);
  let kv = splat(head / p.group * D4);
  var m = vec4<f32>(NEG, NEG, NEG, NEG);
  var l = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  if (p.first_key > 0u) { // (out, l, m) = (out, 1, lse) is the state so far
    m = vec4<f32>(lse[la.x], lse[la.y], lse[la.z], lse[la.w]);
    l = select(l, vec4<f32>(1.0, 1.0, 1.0, 1.0), m > vec4<f32>(NEG, NEG, NEG, NEG));
  }
  for (var j = begin; j < end; j += 4u) {
    let keys = splat(j) + vec4<u32>(0u, 1u, 2u, 3u);
    let ka = min(keys, splat(hi.w)) * p.k_ld + kv;
    let va = min(keys, splat(hi.w)) * p.v_ld + kv;
    var s = mat4x4<f32>(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (var d = 0u; d < D4; d++) {
      s = s + transpose(k4(ka, d)) * q4(qa, d); // row = key, column = query
    }
    s = mat4x4<f32>(score(s[0], keys, lo.x, hi.x), score(s[1], keys, lo.y, hi.y), score(s[2], keys, lo.z, hi.z), score(s[3], keys, lo.w, hi.w));
    let r = transpose(s);
    let top = max(m, max(max(r[0], r[1]), max(r[2], r[3])));
    let fade = exp(m - top);
    let a = mat4x4<f32>(weigh(s[0], top.x), weigh(s[1], top.y), weigh(s[2], top.z), weigh(s[3], top.w));
    let at = transpose(a);
    l = l * fade + ((at[0] + at[1]) + (at[2] + at[3]));
    m = top;
    for (var d = 0u; d < D4; d++) {
      var y = v4(va, d) * a;
      if (j > begin || p.first_key > 0u) {
        y = y + columns(out4(oa, d), fade);
      }
      store(oa, d, y);
    }
  }
  // A query all of whose keys come in later dispatches has l = 0: out 0, lse NEG.
  let some = l > vec4<f32>(0.0, 0.0, 0.0, 0.0);
  let safe = select(vec4<f32>(1.0, 1.0, 1.0, 1.0), l, some);
  let le = select(vec4<f32>(NEG, NEG, NEG, NEG), m + log(safe), some);
  for (var d = 0u; d < D4; d++) {
    store(oa, d, columns(out4(oa, d), 1.0 / safe));
  }
  lse[la.x] = le.x;
  lse[la.y] = le.y;
  lse[la.z] = le.z;
  lse[la.w] = le.w;
}
