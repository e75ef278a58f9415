// adam_root: root[i] = sqrt(1 / (sqrt(vhat) + eps)), vhat = (beta2*v[i] + (1 - beta2)*(s*root[i])^2) / (1 - beta2^t)
//
// v    (n) f32, read; the second moment before the update
// root (n) f32, read_write; the mean gradient, then the root of AdamW's preconditioner
//
// Where the mean is NaN or infinite (found by its bits) root is 0: the others' inner
// products leave that value out. Its preconditioner is not known, and that of a zero
// mean, 1/eps where v is 0, would let the one value outweigh all others.
// Dispatch: ceil(n4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/gram_adam.go
struct Params { n4: u32, beta2: f32, fresh: f32, correction: f32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> root: array<vec4<f32>>;

const INF_BITS: u32 = 0x7f800000u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n4) { return; }
  let bits = bitcast<vec4<u32>>(root[i]);
  let bad = (bits & vec4<u32>(INF_BITS, INF_BITS, INF_BITS, INF_BITS)) == vec4<u32>(INF_BITS, INF_BITS, INF_BITS, INF_BITS);
  let g = bitcast<vec4<f32>>(select(bits, vec4<u32>(0u, 0u, 0u, 0u), bad));
  let second = p.correction * (p.beta2 * v[i] + p.fresh * (g * g));
  root[i] = select(inverseSqrt(sqrt(second) + vec4<f32>(p.eps, p.eps, p.eps, p.eps)), vec4<f32>(0.0, 0.0, 0.0, 0.0), bad);
}
