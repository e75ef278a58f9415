// ghost_fold: out[i, j, o] = sum over tokens s = starts[i] + o + k*OUTS of objective i of part[s, j]
//
// part   (N, M) f32, read
// starts (M + 1) u32, read; objective i's tokens are starts[i] .. starts[i+1]-1
// out    (M, M, OUTS) f32, write
//
// OUTS partial sums per pair are left for the host, which adds them in float64.
// One invocation per value, terms in ascending order.
// Dispatch: ceil(M*M*OUTS / 64) workgroups folded over (x, y).
// Reference: internal/ref/ghost.go
override OUTS: u32 = 16;

struct Params { m: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read> starts: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let k = (group.x + group.y * groups.x) * 64u + lane;
  if (k >= p.m * p.m * OUTS) { return; }
  let i = k / (p.m * OUTS);
  let j = (k / OUTS) % p.m;
  let end = starts[i + 1u];
  var sum = 0.0;
  for (var s = starts[i] + k % OUTS; s < end; s += OUTS) { sum += part[s * p.m + j]; }
  out[k] = sum;
}
