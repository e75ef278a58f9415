// adamw: m = beta1*m + (1-beta1)*g, v = beta2*v + (1-beta2)*g^2, weight = keep*weight - rate*m / (root*sqrt(v) + eps), g = grad_scale*grad
//
// grad   (n) f32, read
// weight (n) f32, read_write
// m      (n) f32, read_write; first moment
// v      (n) f32, read_write; second moment
//
// keep = 1 - lr*decay (decoupled), rate = lr/(1-beta1^step), root = 1/sqrt(1-beta2^step):
// the host computes them in float64, with not_beta = 1-beta, as 1-0.999 has few
// digits in float32. Padding stays zero as eps > 0.
// One vec4 per invocation.
// Requires eps > 0.
// Dispatch: ceil(n4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/adamw.go
// Paper: Loshchilov & Hutter, Decoupled Weight Decay Regularization, ICLR 2019, algorithm 2.
struct Params {
  n4: u32, beta1: f32, not_beta1: f32, beta2: f32, not_beta2: f32,
  keep: f32, rate: f32, root: f32, eps: f32, grad_scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> grad: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> v: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n4) { return; }
  let g = p.grad_scale * grad[i];
  let first = p.beta1 * m[i] + p.not_beta1 * g;
  let second = p.beta2 * v[i] + p.not_beta2 * (g * g);
  m[i] = first;
  v[i] = second;
  weight[i] = p.keep * weight[i] - p.rate * first / (p.root * sqrt(second) + vec4<f32>(p.eps, p.eps, p.eps, p.eps));
}
