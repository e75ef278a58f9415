// logits_gradient: z[s, c] <- (exp(z - top) / total - [lo + c == y]) * scale[s] * weight[s], z capped, y = labels[s], (top, total) = stats[s]
//
// labels (n) u32, read; 0xffffffff = ignored: gradient 0
// scale  (n) f32, read; the derivative of the objective by the token's loss
// weight (n) f32, read; 0: the gradient is 0 whatever the logits are
// stats  (n) vec2 f32, read; of all logits of the token, as cross_entropy writes them
// z      (n, cols) f32 as rows of ld4 vec4, read and write; columns lo .. lo + cols - 1 of the logits
//
// cross_entropy's gradient, in the same order of operations, of a part of the vocabulary.
// One invocation per vec4; padding becomes 0.
// Dispatch: ceil(n * ld4 / 64) workgroups folded over (x, y).
// Reference: internal/ref/vocabulary.go
struct Params { n: u32, cols: u32, ld4: u32, lo: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> scale: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> z: array<vec4<f32>>;

//#include softcap

const IGNORED: u32 = 0xffffffffu;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let i = (group.x + group.y * groups.x) * 64u + t;
  if (i >= p.n * p.ld4) { return; }
  let s = i / p.ld4;
  let e = vec4<u32>(0u, 1u, 2u, 3u) + 4u * (i - s * p.ld4);
  let y = labels[s];
  let g = scale[s] * weight[s];
  let x = capped(z[i]);
  let onehot = select(vec4<f32>(0.0), vec4<f32>(1.0), e + vec4<u32>(p.lo) == vec4<u32>(y));
  let d = (exp(x - stats[s].x) / stats[s].y - onehot) * g * bend(x);
  z[i] = select(d, vec4<f32>(0.0), (e >= vec4<u32>(p.cols)) | vec4<bool>(y == IGNORED || g == 0.0));
}
