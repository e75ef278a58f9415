// dropout: out[i, c] = factor * x[i, c] where the value is kept, else 0, added to out if accumulate
//
// tokens (N, 2) u32, the number of each token in the run, its low word first, read
// x      (N, C) f32 as rows of x_ld4 vec4, read
// out    (N, C) f32 as rows of out_ld4 vec4, write
//
// Value c of token i is kept unless word c % 4 of the random bits of (c / 4, tokens[i], key) is below
// bound: the mask is stored nowhere, and does not depend on the place of the token in
// the batch. What is left out is an exact zero, whatever x holds. One invocation per vec4, c4
// = ceil(C / 4) per row. The padding of x is zero and stays so.
// Dispatch: ceil(N * c4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/dropout.go
// Paper: Srivastava et al., Dropout, JMLR 15, 2014, inverted as in section 10.
struct Params {
  total: u32, c4: u32, x_ld4: u32, out_ld4: u32, key0: u32, key1: u32, bound: u32, accumulate: u32, factor: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> tokens: array<vec2<u32>>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

//#include random_counter

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.total) { return; }
  let c = i % p.c4;
  let r = i / p.c4;
  let token = tokens[r];
  let bits = random_counter(vec4<u32>(c, token.x, token.y ^ p.key0, p.key1));
  let zero = vec4<f32>(0.0, 0.0, 0.0, 0.0);
  let kept = select(p.factor * x[r * p.x_ld4 + c], zero, bits < vec4<u32>(p.bound, p.bound, p.bound, p.bound));
  let at = r * p.out_ld4 + c;
  if (p.accumulate == 0u) {
    out[at] = kept;
  } else {
    out[at] += kept;
  }
}
