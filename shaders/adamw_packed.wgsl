// adamw_packed: adamw's update of weights and moments of fewer bits, each computed in f32 and rounded up or down by chance, so that its mean is right
//
// grad   (n) f32, read
// weight (n) of element type WEIGHT, read_write
// m      (n) of element type M, read_write; first moment, from word m_first
// v      (n) of element type V, read_write; second moment, from word v_first
//
// n is a multiple of 256. Random bits are those of the element's place, from vec4 base
// on, and of key, which the host makes of seed, step and parameter: the lower half of a word for the
// weight, the upper for m, that of another word for v.
// One block of 256 values, or 64 vec4, per workgroup.
// Requires eps > 0.
// Dispatch: n / 256 workgroups folded over (x, y).
// Reference: internal/ref/adamw_packed.go
// Paper: Dettmers et al., 8-bit Optimizers via Block-wise Quantization, ICLR 2022; Zamirai et al., Revisiting BFloat16 Training, 2020.
//#include random
//#include load4_{WEIGHT=f32} weight
//#include round4_{WEIGHT=f32} weight
//#include moment_{M=f32} m
//#include moment_{V=f32} v

struct Params {
  blocks: u32, m_first: u32, v_first: u32, base: u32, key0: u32, key1: u32,
  beta1: f32, not_beta1: f32, beta2: f32, not_beta2: f32,
  keep: f32, rate: f32, root: f32, eps: f32, grad_scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<Packed_weight>;
@group(0) @binding(3) var<storage, read_write> m: array<Packed_m>;
@group(0) @binding(4) var<storage, read_write> v: array<Packed_v>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let block = group.x + group.y * groups.x;
  if (block >= p.blocks) { return; }
  let i = block * 64u + t;
  let g = p.grad_scale * grad[i];
  let first = p.beta1 * moment_m(p.m_first, i) + p.not_beta1 * g;
  let second = p.beta2 * moment_v(p.v_first, i) + p.not_beta2 * (g * g);
  let w = p.keep * load4_weight(i) - p.rate * first / (p.root * sqrt(second) + vec4<f32>(p.eps, p.eps, p.eps, p.eps));
  let bits = random4(p.base + i, vec2<u32>(p.key0, p.key1));
  let half = vec4<u32>(16u, 16u, 16u, 16u);
  round4_weight(i, w, bits & vec4<u32>(0xffffu, 0xffffu, 0xffffu, 0xffffu));
  put_m(p.m_first, i, first, bits >> half);
  put_v(p.v_first, i, second, mix4(bits) >> half);
}
