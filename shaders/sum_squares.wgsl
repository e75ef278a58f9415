// sum_squares: part[slot] = sum over the slot's elements of x[i]^2
//
// x    (n) f32, read
// part (slots) f32, write
//
// One invocation is one slot and sums STRIP vec4; the host adds the slots in
// float64. Which columns a slot takes, and blocked summation: see gram.
// Requires zeros in elements n..4*n4-1, if any.
// Dispatch: ceil(n4 / (64*STRIP)) workgroups folded over (x, y); slots = 64 x that.
// Reference: internal/ref/sum_squares.go
override STRIP: u32 = 64;

const LANES: u32 = 8u; // slots that share a range of columns

struct Params { n4: u32, slots: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> part: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) t: u32) {
  let slot = (group.x + group.y * groups.x) * 64u + t;
  if (slot >= p.slots) { return; }
  var sum = 0.0;
  let first = (slot / LANES) * LANES * STRIP;
  let end = min(p.n4, first + LANES * STRIP);
  for (var k = first + slot % LANES; k < end; k += LANES) {
    let v = x[k];
    sum += dot(v, v);
  }
  part[slot] = sum;
}
