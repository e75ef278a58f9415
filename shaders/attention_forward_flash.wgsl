// attention_forward_flash: causal grouped-query attention within documents,
//   out[i,h] = sum_j softmax_j(scale * q[i,h].k[j,h/group]) v[j,h/group],  start[i] <= j <= offset+i
//   lse[h,i] = log sum_j exp(scale * q[i,h].k[j,h/group])
// tiled in workgroup memory: the form for GPUs.
//
// start  (Nq) u32, row of k, read
// q      (Nq, H*D) f32, row-major, read
// k, v   (Nk, H/group*D) f32, row-major, read
// out    (Nq, H*D) f32, row-major, write (read too when first_key > 0)
// lse    (H, Nq) f32, row-major, write (read too when first_key > 0)
//
// One workgroup of 64 = 8x8 threads per 32 queries of one head; keys come in
// tiles of 32, 4x4 scores per thread, D in chunks of 32 floats. Online softmax
// (maximum m, sum l, unnormalised output o). A dispatch covers keys first_key ..
// first_key+keys-1 counted from the first query's document start, so tiles
// before it are never visited; a later dispatch continues from (out, lse).
// Control flow at barriers depends on the workgroup only.
// Loop iterations per key tile: 17 + ceil(D/32) * 70. Workgroup memory 9 KiB.
// Requires D a multiple of 4, at most 256; leading dimensions multiples of 4.
// Dispatch: end - first workgroups folded over (x, y), of ceil(Nq/32) * H tiles in sum.
// Reference: internal/ref/attention.go. Dao 2023, FlashAttention-2, algorithm 1.
override HEAD_DIM: u32 = 64;
const MAX_NC: u32 = 8;    // chunks of 32 floats of the largest head
const NEG: f32 = -3.0e38; // below every score

//#include attention_forward

var<workgroup> xs: array<vec4<f32>, 256>; // [32 d][8 queries/4] of q; then weights [32 keys][8 queries/4]
var<workgroup> ys: array<vec4<f32>, 256>; // [32 d][8 keys/4] of k; then v [32 keys][8 d/4]
var<workgroup> red: array<f32, 256>;      // [32 queries][8 thread columns]

//#include attention_splat

//#include attention_forward_tile

// outer: column i is x[i] * y.
fn outer(x: vec4<f32>, y: vec4<f32>) -> mat4x4<f32> {
  return mat4x4<f32>(x.x * y, x.y * y, x.z * y, x.w * y);
}

//#include attention_scores

fn reduced(tr: u32, j: u32) -> vec4<f32> { // column j of red, this thread's 4 queries
  return vec4<f32>(red[tr * 32u + j], red[tr * 32u + 8u + j], red[tr * 32u + 16u + j], red[tr * 32u + 24u + j]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let D4 = HEAD_DIM / 4u;
  let NC = (D4 + 7u) / 8u;
  let blocks = (p.nq + 31u) / 32u;
  let i = p.first + w.x + w.y * n.x;
  if (i >= p.end) {
    return;
  }
  let h = i / blocks;
  let hk = h / p.group;
  let q0 = (i % blocks) * 32u;
  let last = min(q0 + 31u, p.nq - 1u) + p.offset; // the last key of the tile's last query
  let begin = start[q0] + p.first_key;
  let end = min(begin + p.keys, last + 1u);
  if (begin >= end) {
    return;
  }
  let tr = t / 8u;
  let tc = t % 8u;
  let r0 = q0 + tr * 4u; // this thread's first query
  let rows = min(splat(r0) + vec4<u32>(0u, 1u, 2u, 3u), splat(p.nq - 1u));
  let lo = vec4<u32>(start[rows.x], start[rows.y], start[rows.z], start[rows.w]);
  let hi = rows + splat(p.offset);
  var o: array<mat4x4<f32>, MAX_NC>; // column = query, row = d
  var m = vec4<f32>(NEG, NEG, NEG, NEG);
  var l = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  if (p.first_key > 0u) { // (o, l, m) = (out, 1, lse) is the state so far
    let la = rows + splat(h * p.lse_ld);
    m = vec4<f32>(lse[la.x], lse[la.y], lse[la.z], lse[la.w]);
    l = select(l, vec4<f32>(1.0, 1.0, 1.0, 1.0), m > vec4<f32>(NEG, NEG, NEG, NEG));
    for (var c = 0u; c < NC; c++) {
      let oa = rows * p.out_ld + splat(h * D4 + min(c * 8u + tc, D4 - 1u));
      o[c] = mat4x4<f32>(out[oa.x], out[oa.y], out[oa.z], out[oa.w]);
    }
  }
  for (var k0 = begin; k0 < end; k0 += 32u) {
    var s = mat4x4<f32>(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
    for (var c = 0u; c < NC; c++) { // each thread transposes a 4x4 block of q and of k
      let cc = c * 8u + tc;
      let kr = k0 + tr * 4u;
      let a = transpose(mat4x4<f32>(load_q(rows.x, h, cc), load_q(rows.y, h, cc), load_q(rows.z, h, cc), load_q(rows.w, h, cc)));
      let b = transpose(mat4x4<f32>(load_k(kr, last, hk, cc), load_k(kr + 1u, last, hk, cc), load_k(kr + 2u, last, hk, cc), load_k(kr + 3u, last, hk, cc)));
      workgroupBarrier();
      let at = tc * 32u + tr;
      put_x(at, a);
      ys[at] = b[0];
      ys[at + 8u] = b[1];
      ys[at + 16u] = b[2];
      ys[at + 24u] = b[3];
      workgroupBarrier();
      for (var d = 0u; d < 32u; d++) {
        s = s + outer(xs[d * 8u + tr], ys[d * 8u + tc]); // column = query, row = key
      }
    }
    let keys = splat(k0 + tc * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    s = mat4x4<f32>(score(s[0], keys, lo.x, hi.x), score(s[1], keys, lo.y, hi.y), score(s[2], keys, lo.z, hi.z), score(s[3], keys, lo.w, hi.w));
    let st = transpose(s);
    let best = max(max(st[0], st[1]), max(st[2], st[3]));
    let ra = tr * 32u + tc;
    red[ra] = best.x;
    red[ra + 8u] = best.y;
    red[ra + 16u] = best.z;
    red[ra + 24u] = best.w;
    workgroupBarrier();
    var top = m;
    for (var j = 0u; j < 8u; j++) {
      top = max(top, reduced(tr, j));
    }
    let fade = exp(m - top);
    m = top;
    let wt = transpose(mat4x4<f32>(weigh(s[0], top.x), weigh(s[1], top.y), weigh(s[2], top.z), weigh(s[3], top.w)));
    let part = (wt[0] + wt[1]) + (wt[2] + wt[3]);
    workgroupBarrier();
    red[ra] = part.x;
    red[ra + 8u] = part.y;
    red[ra + 16u] = part.z;
    red[ra + 24u] = part.w;
    put_x(tc * 32u + tr, wt);
    workgroupBarrier();
    l = l * fade;
    for (var j = 0u; j < 8u; j++) {
      l += reduced(tr, j);
    }
    for (var c = 0u; c < NC; c++) {
      for (var j = t; j < 256u; j += 64u) {
        ys[j] = load_v(k0 + j / 8u, last, hk, c * 8u + j % 8u);
      }
      workgroupBarrier();
      var y = columns(o[c], fade);
      for (var j = 0u; j < 32u; j++) {
        y = y + outer(xs[j * 8u + tr], ys[j * 8u + tc]);
      }
      o[c] = y;
      workgroupBarrier();
    }
  }
  // A query all of whose keys come in later dispatches has l = 0: out 0, lse NEG.
  let some = l > vec4<f32>(0.0, 0.0, 0.0, 0.0);
  let safe = select(vec4<f32>(1.0, 1.0, 1.0, 1.0), l, some);
  let le = select(vec4<f32>(NEG, NEG, NEG, NEG), m + log(safe), some);
  for (var c = 0u; c < NC; c++) {
    let y = columns(o[c], 1.0 / safe);
    let oa = rows * p.out_ld + splat(h * D4 + c * 8u + tc);
    if (c * 8u + tc < D4 && r0 < p.nq) { // rows beyond the last query repeat it: the same values, stored again
      out[oa.x] = y[0];
      out[oa.y] = y[1];
      out[oa.z] = y[2];
      out[oa.w] = y[3];
    }
  }
  if (tc == 0u && r0 < p.nq) {
    let la = rows + splat(h * p.lse_ld);
    lse[la.x] = le.x;
    lse[la.y] = le.y;
    lse[la.z] = le.z;
    lse[la.w] = le.w;
  }
}
