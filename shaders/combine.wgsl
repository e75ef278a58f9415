// combine: out[i] = (accumulate ? out[i] : 0) + sum over k < COUNT of w<k> * rows[r<k> + i]
//
// rows (M, n) f32, read; r<k> is the first vec4 of the k-th row taken
// out  (n) f32, read_write
//
// The host lists only the rows whose weight is not zero: a row left out of a
// solve may hold NaN, and 0 * NaN would poison the sum. One vec4 per invocation,
// bandwidth-bound; COUNT is a constant so that no loop and no weight load is
// left. Terms are added in ascending k: fixed order, same bits.
// Requires 1 <= COUNT <= 16.
// Dispatch: ceil(n4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/combine.go
override COUNT: u32 = 8;

struct Params {
  n4: u32, accumulate: u32,
  r0: u32, r1: u32, r2: u32, r3: u32, r4: u32, r5: u32, r6: u32, r7: u32,
  r8: u32, r9: u32, r10: u32, r11: u32, r12: u32, r13: u32, r14: u32, r15: u32,
  w0: f32, w1: f32, w2: f32, w3: f32, w4: f32, w5: f32, w6: f32, w7: f32,
  w8: f32, w9: f32, w10: f32, w11: f32, w12: f32, w13: f32, w14: f32, w15: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n4) { return; }
  var sum = p.w0 * rows[p.r0 + i];
  if (COUNT > 1u) { sum += p.w1 * rows[p.r1 + i]; }
  if (COUNT > 2u) { sum += p.w2 * rows[p.r2 + i]; }
  if (COUNT > 3u) { sum += p.w3 * rows[p.r3 + i]; }
  if (COUNT > 4u) { sum += p.w4 * rows[p.r4 + i]; }
  if (COUNT > 5u) { sum += p.w5 * rows[p.r5 + i]; }
  if (COUNT > 6u) { sum += p.w6 * rows[p.r6 + i]; }
  if (COUNT > 7u) { sum += p.w7 * rows[p.r7 + i]; }
  if (COUNT > 8u) { sum += p.w8 * rows[p.r8 + i]; }
  if (COUNT > 9u) { sum += p.w9 * rows[p.r9 + i]; }
  if (COUNT > 10u) { sum += p.w10 * rows[p.r10 + i]; }
  if (COUNT > 11u) { sum += p.w11 * rows[p.r11 + i]; }
  if (COUNT > 12u) { sum += p.w12 * rows[p.r12 + i]; }
  if (COUNT > 13u) { sum += p.w13 * rows[p.r13 + i]; }
  if (COUNT > 14u) { sum += p.w14 * rows[p.r14 + i]; }
  if (COUNT > 15u) { sum += p.w15 * rows[p.r15 + i]; }
  if (p.accumulate != 0u) { sum += out[i]; }
  out[i] = sum;
}
