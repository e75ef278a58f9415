// factored_mean: out[0] = 1 / mean of x[i], and with SIZE 1 out[1] = 1 / max(1, sqrt(mean of x[i]))
//
// x   (n) f32, read
// out (2) f32, write
//
// A mean that is 0 gives out[0] = 0. One workgroup.
// Dispatch: 1 workgroup.
// Reference: internal/ref/factored.go
// Paper: Shazeer & Stern, Adafactor, ICML 2018, algorithm 4: U / max(1, RMS(U) / d), d = 1.
override SIZE: u32 = 0;

struct Params { n: u32, share: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

var<workgroup> sums: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) t: u32) {
  var s = 0.0;
  for (var k = t; k < p.n; k += 256u) { s += x[k]; }
  sums[t] = s;
  for (var d = 128u; d > 0u; d = d / 2u) {
    workgroupBarrier();
    if (t < d) { sums[t] = sums[t] + sums[t + d]; }
  }
  if (t == 0u) {
    let mean = p.share * sums[0];
    if (SIZE == 1u) {
      out[1] = 1.0 / max(1.0, sqrt(mean));
    } else {
      out[0] = select(0.0, 1.0 / mean, mean > 0.0);
    }
  }
}
