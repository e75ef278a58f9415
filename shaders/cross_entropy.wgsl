// cross_entropy: with z = logits[r], k = row0 + r, y = labels[k],
//   loss[k] = log sum_c exp(z[c]) - z[y]
//   logits[r, c] <- (exp(z[c] - lse) - [c == y]) * scale[k]     if write_grad
// or with z = SOFTCAP * tanh(logits[r] / SOFTCAP), and its derivative in the gradient
//
// labels (*) u32, read; 0xffffffff = ignored: loss 0, gradient 0
// scale  (*) f32, read only if write_grad: the derivative of the objective by loss[k]
// logits (n, vocab) f32 as rows of ld4 vec4, read and write; padding becomes 0 if write_grad
// loss   (*) f32 as bits, write
// stats  (*) vec2 f32, write if KEEP: of each row the largest z and the sum of exp(z - it)
//
// Forward and backward in one: the second pass reads the logits it replaces, so
// no probabilities are stored. LANES invocations per row, WG / LANES rows per
// workgroup. Pass 1 keeps a running maximum and the sum of exponentials below
// it; the lanes' pairs are merged by a tree. WG and LANES are powers of two.
// Numerics: the sum of exponentials s is at least 1; below 1.25 its logarithm is
// a series (log is only good to 2^-21 absolute near 1 on some drivers). max() may
// swallow a NaN, so that non-finite logits are found by their bits: they, and a
// label outside the vocabulary, make the loss of the row NaN.
// Dispatch: ceil(n / (WG / LANES)) workgroups folded over (x, y).
// Reference: internal/ref/cross_entropy.go
override WG: u32 = 64;
override LANES: u32 = 8;
override KEEP: u32 = 0;

struct Params {
  n: u32,
  vocab: u32,
  ld4: u32,
  row0: u32,
  write_grad: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> logits: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> loss: array<u32>;
@group(0) @binding(5) var<storage, read_write> stats: array<vec2<f32>>;

//#include softcap

const IGNORED: u32 = 0xffffffffu;
const NAN_BITS: u32 = 0x7fc00000u;
const INF_BITS: u32 = 0x7f800000u;
const LOWEST: f32 = -3.0e38; // -Inf is not portable
var<workgroup> maxima: array<f32, WG>;
var<workgroup> sums: array<f32, WG>;
var<workgroup> bad: array<u32, WG>;    // some logit of the lane is not finite
var<workgroup> picked: array<f32, WG>;  // z[y] of the workgroup's rows

// log_sum is log(s) for s >= 1: 2 atanh((s - 1) / (s + 1)) near 1, to y^9.
fn log_sum(s: f32) -> f32 {
  let y = (s - 1.0) / (s + 1.0);
  let q = y * y;
  let series = 2.0 * y * (1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q / 9.0))));
  return select(log(s), series, s < 1.25);
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(num_workgroups) nwg: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let lane = t % LANES;
  let slot = t / LANES;
  let row = (wid.x + wid.y * nwg.x) * (WG / LANES) + slot;
  let live = row < p.n; // no return before the barriers
  let r = min(row, p.n - 1u);
  let k = p.row0 + r;
  let y = labels[k];
  let base = r * p.ld4;
  let v4 = (p.vocab + 3u) / 4u;

  var m = LOWEST;
  var s = 0.0;
  var nonfinite = 0u;
  for (var c = lane; c < v4; c = c + LANES) {
    let e = vec4<u32>(0u, 1u, 2u, 3u) + 4u * c;
    let raw = logits[base + c];
    let inside = e < vec4<u32>(p.vocab);
    let seen = select(vec4<f32>(LOWEST), raw, inside);
    let z = select(vec4<f32>(LOWEST), capped(raw), inside);
    if (any((bitcast<vec4<u32>>(seen) & vec4<u32>(INF_BITS)) == vec4<u32>(INF_BITS))) { nonfinite = 1u; }
    let top = max(max(m, max(z.x, z.y)), max(z.z, z.w));
    let x = exp(z - top);
    s = s * exp(m - top) + ((x.x + x.y) + (x.z + x.w));
    m = top;
    if (y / 4u == c) { picked[slot] = dot(select(vec4<f32>(0.0), z, e == vec4<u32>(y)), vec4<f32>(1.0)); }
  }
  maxima[t] = m;
  sums[t] = s;
  bad[t] = nonfinite;
  for (var d = LANES / 2u; d > 0u; d = d / 2u) {
    workgroupBarrier();
    if (lane < d) {
      let a = maxima[t];
      let b = maxima[t + d];
      let top = max(a, b);
      sums[t] = sums[t] * exp(a - top) + sums[t + d] * exp(b - top);
      maxima[t] = top;
      bad[t] = bad[t] | bad[t + d];
    }
  }
  workgroupBarrier();
  if (!live) { return; }

  let top = maxima[t - lane];
  let total = sums[t - lane];
  let ignored = y == IGNORED;
  let broken = bad[t - lane] != 0u || y >= p.vocab;
  if (lane == 0u) {
    var bits = bitcast<u32>(log_sum(total) + (top - picked[slot]));
    if (broken) { bits = NAN_BITS; }
    if (ignored) { bits = 0u; }
    loss[k] = bits;
    if (KEEP != 0u) { stats[k] = vec2<f32>(top, total); }
  }
  if (p.write_grad == 0u) { return; }
  let g = scale[k];
  for (var c = lane; c < p.ld4; c = c + LANES) {
    let e = vec4<u32>(0u, 1u, 2u, 3u) + 4u * c;
    let onehot = select(vec4<f32>(0.0), vec4<f32>(1.0), e == vec4<u32>(y));
    let z = capped(logits[base + c]);
    let d = (exp(z - top) / total - onehot) * g * bend(z);
    logits[base + c] = select(d, vec4<f32>(0.0), (e >= vec4<u32>(p.vocab)) | vec4<bool>(ignored));
  }
}
