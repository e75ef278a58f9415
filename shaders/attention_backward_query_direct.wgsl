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
// One invocation per 4 adjacent queries of one head; keys come 4 at a time. A
// dispatch covers keys first_key .. first_key+keys-1 counted from the first
// query's document start; a later dispatch adds to dq.
// Loop iterations: keys/4 * (1 + D/2) + D/4 * 2.
// Requires D a multiple of 4, at most 256; leading dimensions multiples of 4.
// Dispatch: ceil(ceil(N/4) * H / WG) workgroups folded over (x, y).
// Reference: internal/ref/attention.go. Dao 2023, FlashAttention-2, algorithm 2.
override HEAD_DIM: u32 = 64;
override WG: u32 = 32;
const MAX_D4: u32 = 64;   // vec4 of the largest head
const NEG: f32 = -3.0e38; // exp gives 0

struct Params {
  rows: u32,
  heads: u32,
  group: u32,   // query heads per key head
  q_ld: u32,    // vec4, as all leading dimensions but lse_ld, delta_ld
  k_ld: u32,
  v_ld: u32,
  dout_ld: u32,
  dq_ld: u32,
  lse_ld: u32,  // f32
  delta_ld: u32,
  first_key: u32,
  keys: u32,    // a multiple of 4
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> start: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@group(0) @binding(7) var<storage, read> delta: array<f32>;
@group(0) @binding(8) var<storage, read_write> dq: array<vec4<f32>>;

fn splat(x: u32) -> vec4<u32> {
  return vec4<u32>(x, x, x, x);
}

// slope is scale * P * (dP - delta) of one key against 4 queries.
fn slope(s: vec4<f32>, dp: vec4<f32>, le: vec4<f32>, de: vec4<f32>, key: u32, lo: vec4<u32>, hi: vec4<u32>) -> vec4<f32> {
  let seen = (splat(key) >= lo) & (splat(key) <= hi);
  return exp(select(vec4<f32>(NEG, NEG, NEG, NEG), s * p.scale - le, seen)) * (dp - de) * p.scale;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let D4 = HEAD_DIM / 4u;
  let blocks = (p.rows + 3u) / 4u;
  let i = (w.x + w.y * n.x) * WG + t;
  if (i >= blocks * p.heads) {
    return;
  }
  let head = i / blocks;
  let row = (i % blocks) * 4u; // the first query
  // Rows beyond the last query repeat it: the same values, stored again.
  let rows = min(splat(row) + vec4<u32>(0u, 1u, 2u, 3u), splat(p.rows - 1u));
  let lo = vec4<u32>(start[rows.x], start[rows.y], start[rows.z], start[rows.w]);
  let begin = lo.x + p.first_key;
  let end = min(begin + p.keys, rows.w + 1u);
  if (begin >= end && p.first_key > 0u) {
    return;
  }
  let qa = rows * p.q_ld + splat(head * D4);
  let da = rows * p.dout_ld + splat(head * D4);
  let ga = rows * p.dq_ld + splat(head * D4);
  let la = rows + splat(head * p.lse_ld);
  let ea = rows + splat(head * p.delta_ld);
  let le = vec4<f32>(lse[la.x], lse[la.y], lse[la.z], lse[la.w]);
  let de = vec4<f32>(delta[ea.x], delta[ea.y], delta[ea.z], delta[ea.w]);
  let kv = head / p.group * D4;
  var g0: array<vec4<f32>, MAX_D4>;
  var g1: array<vec4<f32>, MAX_D4>;
  var g2: array<vec4<f32>, MAX_D4>;
  var g3: array<vec4<f32>, MAX_D4>;
  if (p.first_key > 0u) {
    for (var d = 0u; d < D4; d++) {
      g0[d] = dq[ga.x + d];
      g1[d] = dq[ga.y + d];
      g2[d] = dq[ga.z + d];
      g3[d] = dq[ga.w + d];
    }
  }
  for (var j = begin; j < end; j += 4u) {
    let kj = min(splat(j) + vec4<u32>(0u, 1u, 2u, 3u), splat(rows.w));
    let ka = kj * p.k_ld + splat(kv);
    let va = kj * p.v_ld + splat(kv);
    var s0 = vec4<f32>(0.0, 0.0, 0.0, 0.0); // key j against 4 queries
    var s1 = s0;
    var s2 = s0;
    var s3 = s0;
    var t0 = s0; // dout.v
    var t1 = s0;
    var t2 = s0;
    var t3 = s0;
    for (var d = 0u; d < D4; d++) {
      var a = q[qa.x + d];
      var b = q[qa.y + d];
      var c = q[qa.z + d];
      var e = q[qa.w + d];
      let k0 = k[ka.x + d];
      let k1 = k[ka.y + d];
      let k2 = k[ka.z + d];
      let k3 = k[ka.w + d];
      s0 += vec4<f32>(dot(a, k0), dot(b, k0), dot(c, k0), dot(e, k0));
      s1 += vec4<f32>(dot(a, k1), dot(b, k1), dot(c, k1), dot(e, k1));
      s2 += vec4<f32>(dot(a, k2), dot(b, k2), dot(c, k2), dot(e, k2));
      s3 += vec4<f32>(dot(a, k3), dot(b, k3), dot(c, k3), dot(e, k3));
      a = dout[da.x + d];
      b = dout[da.y + d];
      c = dout[da.z + d];
      e = dout[da.w + d];
      let v0 = v[va.x + d];
      let v1 = v[va.y + d];
      let v2 = v[va.z + d];
      let v3 = v[va.w + d];
      t0 += vec4<f32>(dot(a, v0), dot(b, v0), dot(c, v0), dot(e, v0));
      t1 += vec4<f32>(dot(a, v1), dot(b, v1), dot(c, v1), dot(e, v1));
      t2 += vec4<f32>(dot(a, v2), dot(b, v2), dot(c, v2), dot(e, v2));
      t3 += vec4<f32>(dot(a, v3), dot(b, v3), dot(c, v3), dot(e, v3));
    }
    let x0 = slope(s0, t0, le, de, j, lo, rows);
    let x1 = slope(s1, t1, le, de, j + 1u, lo, rows);
    let x2 = slope(s2, t2, le, de, j + 2u, lo, rows);
    let x3 = slope(s3, t3, le, de, j + 3u, lo, rows);
    for (var d = 0u; d < D4; d++) {
      let k0 = k[ka.x + d];
      let k1 = k[ka.y + d];
      let k2 = k[ka.z + d];
      let k3 = k[ka.w + d];
      g0[d] += x0.x * k0 + x1.x * k1 + x2.x * k2 + x3.x * k3;
      g1[d] += x0.y * k0 + x1.y * k1 + x2.y * k2 + x3.y * k3;
      g2[d] += x0.z * k0 + x1.z * k1 + x2.z * k2 + x3.z * k3;
      g3[d] += x0.w * k0 + x1.w * k1 + x2.w * k2 + x3.w * k3;
    }
  }
  for (var d = 0u; d < D4; d++) {
    dq[ga.x + d] = g0[d];
    dq[ga.y + d] = g1[d];
    dq[ga.z + d] = g2[d];
    dq[ga.w + d] = g3[d];
  }
}
