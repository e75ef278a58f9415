// gram_fold: out[pair, o] = sum over k of part[pair, o + k*outs]
//
// part (pairs, slots) f32, read
// out  (pairs, outs) f32, write
//
// Shortens the partial sums of gram, gram_cross or sum_squares before they
// travel to the host, which adds the remaining outs values of a pair in float64.
// One invocation per output, terms in ascending order; adjacent invocations read
// adjacent values. Requires outs >= 1 and slots < 65000*outs (Mesa's loop budget).
// Dispatch: ceil(pairs*outs / 64) workgroups folded over (x, y).
// Reference: internal/ref/gram.go
struct Params { pairs: u32, slots: u32, outs: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.pairs * p.outs) { return; }
  let first = (i / p.outs) * p.slots;
  var sum = 0.0;
  for (var s = i % p.outs; s < p.slots; s += p.outs) { sum += part[first + s]; }
  out[i] = sum;
}
