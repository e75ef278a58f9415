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
// time, head by head of the group. A dispatch covers queries first_query ..
// first_query+queries-1 counted from the first key; a later one adds to grad.
// Two dispatches for dk and dv, as one would need nine storage buffers.
// Loop iterations: group * (1 + queries/4 * (1 + D/2)) + D/4 * 2.
// Requires D a multiple of 4, at most 256; leading dimensions multiples of 4.
// Dispatch: ceil(ceil(N/4) * H/group / WG) workgroups folded over (x, y).
// Reference: internal/ref/attention.go. Dao 2023, FlashAttention-2, algorithm 2.
override HEAD_DIM: u32 = 64;
override VALUES: u32 = 0;
override WG: u32 = 32;
const MAX_D4: u32 = 64;   // vec4 of the largest head
const NEG: f32 = -3.0e38; // exp gives 0

struct Params {
  rows: u32,
  kv_heads: u32,
  group: u32,   // query heads per key head
  q_ld: u32,    // vec4, as all leading dimensions but lse_ld, delta_ld
  k_ld: u32,
  v_ld: u32,
  dout_ld: u32,
  grad_ld: u32,
  lse_ld: u32,  // f32
  delta_ld: u32,
  first_query: u32,
  queries: u32, // a multiple of 4
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> end: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@group(0) @binding(7) var<storage, read> delta: array<f32>;
@group(0) @binding(8) var<storage, read_write> grad: array<vec4<f32>>;

fn splat(x: u32) -> vec4<u32> {
  return vec4<u32>(x, x, x, x);
}

fn dots(a: vec4<f32>, k0: vec4<f32>, k1: vec4<f32>, k2: vec4<f32>, k3: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(dot(a, k0), dot(a, k1), dot(a, k2), dot(a, k3));
}

// weigh is P of query i against 4 keys.
fn weigh(s: vec4<f32>, head: u32, i: u32, keys: vec4<u32>, stop: vec4<u32>) -> vec4<f32> {
  let le = lse[head * p.lse_ld + min(i, p.rows - 1u)];
  let seen = (splat(i) >= keys) & (splat(i) < stop);
  return exp(select(vec4<f32>(NEG, NEG, NEG, NEG), s * p.scale - vec4<f32>(le, le, le, le), seen));
}

// slope is scale * (dP - delta) of query i against 4 keys.
fn slope(dp: vec4<f32>, head: u32, i: u32) -> vec4<f32> {
  let de = delta[head * p.delta_ld + min(i, p.rows - 1u)];
  return (dp - vec4<f32>(de, de, de, de)) * p.scale;
}

fn source(at: u32) -> vec4<f32> {
  if (VALUES == 1u) {
    return dout[at];
  }
  return q[at];
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let D4 = HEAD_DIM / 4u;
  let blocks = (p.rows + 3u) / 4u;
  let block = (w.x + w.y * n.x) * WG + t;
  if (block >= blocks * p.kv_heads) {
    return;
  }
  let kv = block / blocks;
  let first = (block % blocks) * 4u; // the first key
  // Keys beyond the last repeat it: the same values, stored again.
  let keys = min(splat(first) + vec4<u32>(0u, 1u, 2u, 3u), splat(p.rows - 1u));
  let stop = vec4<u32>(end[keys.x], end[keys.y], end[keys.z], end[keys.w]);
  let begin = first + p.first_query;
  let finish = min(begin + p.queries, stop.w);
  if (begin >= finish && p.first_query > 0u) {
    return;
  }
  let ka = keys * p.k_ld + splat(kv * D4);
  let va = keys * p.v_ld + splat(kv * D4);
  let ga = keys * p.grad_ld + splat(kv * D4);
  var g0: array<vec4<f32>, MAX_D4>;
  var g1: array<vec4<f32>, MAX_D4>;
  var g2: array<vec4<f32>, MAX_D4>;
  var g3: array<vec4<f32>, MAX_D4>;
  if (p.first_query > 0u) {
    for (var d = 0u; d < D4; d++) {
      g0[d] = grad[ga.x + d];
      g1[d] = grad[ga.y + d];
      g2[d] = grad[ga.z + d];
      g3[d] = grad[ga.w + d];
    }
  }
  for (var h = kv * p.group; h < kv * p.group + p.group; h++) {
    for (var i = begin; i < finish; i += 4u) {
      let ii = min(splat(i) + vec4<u32>(0u, 1u, 2u, 3u), splat(p.rows - 1u));
      let qa = ii * p.q_ld + splat(h * D4);
      let da = ii * p.dout_ld + splat(h * D4);
      var x0 = vec4<f32>(0.0, 0.0, 0.0, 0.0); // query i against 4 keys
      var x1 = x0;
      var x2 = x0;
      var x3 = x0;
      var t0 = x0; // dout.v
      var t1 = x0;
      var t2 = x0;
      var t3 = x0;
      for (var d = 0u; d < D4; d++) {
        let k0 = k[ka.x + d];
        let k1 = k[ka.y + d];
        let k2 = k[ka.z + d];
        let k3 = k[ka.w + d];
        x0 += dots(q[qa.x + d], k0, k1, k2, k3);
        x1 += dots(q[qa.y + d], k0, k1, k2, k3);
        x2 += dots(q[qa.z + d], k0, k1, k2, k3);
        x3 += dots(q[qa.w + d], k0, k1, k2, k3);
        if (VALUES == 0u) {
          let v0 = v[va.x + d];
          let v1 = v[va.y + d];
          let v2 = v[va.z + d];
          let v3 = v[va.w + d];
          t0 += dots(dout[da.x + d], v0, v1, v2, v3);
          t1 += dots(dout[da.y + d], v0, v1, v2, v3);
          t2 += dots(dout[da.z + d], v0, v1, v2, v3);
          t3 += dots(dout[da.w + d], v0, v1, v2, v3);
        }
      }
      x0 = weigh(x0, h, i, keys, stop);
      x1 = weigh(x1, h, i + 1u, keys, stop);
      x2 = weigh(x2, h, i + 2u, keys, stop);
      x3 = weigh(x3, h, i + 3u, keys, stop);
      var sa = da;
      if (VALUES == 0u) {
        x0 *= slope(t0, h, i);
        x1 *= slope(t1, h, i + 1u);
        x2 *= slope(t2, h, i + 2u);
        x3 *= slope(t3, h, i + 3u);
        sa = qa;
      }
      for (var d = 0u; d < D4; d++) {
        let s0 = source(sa.x + d);
        let s1 = source(sa.y + d);
        let s2 = source(sa.z + d);
        let s3 = source(sa.w + d);
        g0[d] += x0.x * s0 + x1.x * s1 + x2.x * s2 + x3.x * s3;
        g1[d] += x0.y * s0 + x1.y * s1 + x2.y * s2 + x3.y * s3;
        g2[d] += x0.z * s0 + x1.z * s1 + x2.z * s2 + x3.z * s3;
        g3[d] += x0.w * s0 + x1.w * s1 + x2.w * s2 + x3.w * s3;
      }
    }
  }
  for (var d = 0u; d < D4; d++) {
    grad[ga.x + d] = g0[d];
    grad[ga.y + d] = g1[d];
    grad[ga.z + d] = g2[d];
    grad[ga.w + d] = g3[d];
  }
}
