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
// One invocation per 4 adjacent queries of one head: every key and value load
// serves 4 queries. Keys come 4 at a time with an online softmax (running
// maximum m, sum l, unnormalised output o). A dispatch covers keys first_key ..
// first_key+keys-1 counted from the first query's document start, and a later
// dispatch continues from (out, lse), so no invocation loops too long. Keys
// outside a query's range get weight 0 by select.
// Loop iterations: keys/4 * (1 + D/2) + D/4 * 2.
// Requires D a multiple of 4, at most 256; leading dimensions multiples of 4.
// Dispatch: ceil(ceil(Nq/4) * H / WG) workgroups folded over (x, y).
// Reference: internal/ref/attention.go. Dao 2023, FlashAttention-2, algorithm 1.
override HEAD_DIM: u32 = 64;
override WG: u32 = 32;
const MAX_D4: u32 = 64;     // vec4 of the largest head
const NEG: f32 = -3.0e38;   // below every score

struct Params {
  nq: u32,
  heads: u32,
  group: u32,  // query heads per key head
  offset: u32, // row of k of query 0
  q_ld: u32,   // vec4, as all leading dimensions but lse_ld
  k_ld: u32,
  v_ld: u32,
  out_ld: u32,
  lse_ld: u32, // f32
  first_key: u32,
  keys: u32,   // a multiple of 4
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> start: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

fn weigh(s: vec4<f32>, m: vec4<f32>, key: u32, lo: vec4<u32>, hi: vec4<u32>) -> vec4<f32> {
  let kk = vec4<u32>(key, key, key, key);
  return select(vec4<f32>(0.0, 0.0, 0.0, 0.0), exp(s - m), (kk >= lo) & (kk <= hi));
}

fn score(s: vec4<f32>, key: u32, lo: vec4<u32>, hi: vec4<u32>) -> vec4<f32> {
  let kk = vec4<u32>(key, key, key, key);
  return select(vec4<f32>(NEG, NEG, NEG, NEG), s * p.scale, (kk >= lo) & (kk <= hi));
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let D4 = HEAD_DIM / 4u;
  let blocks = (p.nq + 3u) / 4u;
  let i = (w.x + w.y * n.x) * WG + t;
  if (i >= blocks * p.heads) {
    return;
  }
  let head = i / blocks;
  let row = (i % blocks) * 4u; // the first query
  let last = min(row + 3u, p.nq - 1u);
  // Rows beyond the last query repeat it: the same values, stored again.
  let rows = min(vec4<u32>(row, row + 1u, row + 2u, row + 3u), vec4<u32>(last, last, last, last));
  let lo = vec4<u32>(start[rows.x], start[rows.y], start[rows.z], start[rows.w]);
  let hi = rows + vec4<u32>(p.offset, p.offset, p.offset, p.offset);
  let begin = lo.x + p.first_key;
  let end = min(begin + p.keys, hi.w + 1u);
  if (begin >= end) {
    return;
  }
  let qa = rows * p.q_ld + vec4<u32>(head * D4, head * D4, head * D4, head * D4);
  let oa = rows * p.out_ld + vec4<u32>(head * D4, head * D4, head * D4, head * D4);
  let la = vec4<u32>(head * p.lse_ld, head * p.lse_ld, head * p.lse_ld, head * p.lse_ld) + rows;
  let kv = head / p.group * D4;
  var o0: array<vec4<f32>, MAX_D4>;
  var o1: array<vec4<f32>, MAX_D4>;
  var o2: array<vec4<f32>, MAX_D4>;
  var o3: array<vec4<f32>, MAX_D4>;
  var m = vec4<f32>(NEG, NEG, NEG, NEG);
  var l = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  if (p.first_key > 0u) { // (o, l, m) = (out, 1, lse) is the state so far
    m = vec4<f32>(lse[la.x], lse[la.y], lse[la.z], lse[la.w]);
    l = select(vec4<f32>(0.0, 0.0, 0.0, 0.0), vec4<f32>(1.0, 1.0, 1.0, 1.0), m > vec4<f32>(NEG, NEG, NEG, NEG));
    for (var d = 0u; d < D4; d++) {
      o0[d] = out[oa.x + d];
      o1[d] = out[oa.y + d];
      o2[d] = out[oa.z + d];
      o3[d] = out[oa.w + d];
    }
  }
  for (var j = begin; j < end; j += 4u) {
    let kj = min(vec4<u32>(j, j + 1u, j + 2u, j + 3u), vec4<u32>(hi.w, hi.w, hi.w, hi.w));
    let ka = kj * p.k_ld + vec4<u32>(kv, kv, kv, kv);
    var s0 = vec4<f32>(0.0, 0.0, 0.0, 0.0); // key j against 4 queries
    var s1 = s0;
    var s2 = s0;
    var s3 = s0;
    for (var d = 0u; d < D4; d++) {
      let a = q[qa.x + d];
      let b = q[qa.y + d];
      let c = q[qa.z + d];
      let e = q[qa.w + d];
      let k0 = k[ka.x + d];
      let k1 = k[ka.y + d];
      let k2 = k[ka.z + d];
      let k3 = k[ka.w + d];
      s0 += vec4<f32>(dot(a, k0), dot(b, k0), dot(c, k0), dot(e, k0));
      s1 += vec4<f32>(dot(a, k1), dot(b, k1), dot(c, k1), dot(e, k1));
      s2 += vec4<f32>(dot(a, k2), dot(b, k2), dot(c, k2), dot(e, k2));
      s3 += vec4<f32>(dot(a, k3), dot(b, k3), dot(c, k3), dot(e, k3));
    }
    s0 = score(s0, j, lo, hi);
    s1 = score(s1, j + 1u, lo, hi);
    s2 = score(s2, j + 2u, lo, hi);
    s3 = score(s3, j + 3u, lo, hi);
    let top = max(m, max(max(s0, s1), max(s2, s3)));
    let fade = exp(m - top);
    let w0 = weigh(s0, top, j, lo, hi);
    let w1 = weigh(s1, top, j + 1u, lo, hi);
    let w2 = weigh(s2, top, j + 2u, lo, hi);
    let w3 = weigh(s3, top, j + 3u, lo, hi);
    l = l * fade + ((w0 + w1) + (w2 + w3));
    m = top;
    let va = kj * p.v_ld + vec4<u32>(kv, kv, kv, kv);
    for (var d = 0u; d < D4; d++) {
      let v0 = v[va.x + d];
      let v1 = v[va.y + d];
      let v2 = v[va.z + d];
      let v3 = v[va.w + d];
      o0[d] = o0[d] * fade.x + w0.x * v0 + w1.x * v1 + w2.x * v2 + w3.x * v3;
      o1[d] = o1[d] * fade.y + w0.y * v0 + w1.y * v1 + w2.y * v2 + w3.y * v3;
      o2[d] = o2[d] * fade.z + w0.z * v0 + w1.z * v1 + w2.z * v2 + w3.z * v3;
      o3[d] = o3[d] * fade.w + w0.w * v0 + w1.w * v1 + w2.w * v2 + w3.w * v3;
    }
  }
  // A query all of whose keys come in later dispatches has l = 0: out 0, lse NEG.
  let some = l > vec4<f32>(0.0, 0.0, 0.0, 0.0);
  let safe = select(vec4<f32>(1.0, 1.0, 1.0, 1.0), l, some);
  let le = select(vec4<f32>(NEG, NEG, NEG, NEG), m + log(safe), some);
  let inv = 1.0 / safe;
  for (var d = 0u; d < D4; d++) {
    out[oa.x + d] = o0[d] * inv.x;
    out[oa.y + d] = o1[d] * inv.y;
    out[oa.z + d] = o2[d] * inv.z;
    out[oa.w + d] = o3[d] * inv.w;
  }
  lse[la.x] = le.x;
  lse[la.y] = le.y;
  lse[la.z] = le.z;
  lse[la.w] = le.w;
}
