//#include dynamic8
alias Packed_OPERAND = u32;

// moment_OPERAND is vec4 i of OPERAND, whose first block begins at word first: the codes
// are those of the roots.
fn moment_OPERAND(first: u32, i: u32) -> vec4<f32> {
  let block = first + (i / 64u) * 65u;
  let w = OPERAND[block + 1u + i % 64u];
  let r = bitcast<f32>(OPERAND[block]) * vec4<f32>(level(w & 255u, 8u), level((w >> 8u) & 255u, 8u), level((w >> 16u) & 255u, 8u), level(w >> 24u, 8u));
  return r * r;
}

// A value that is not 0 does not become 0: the moment is divided by.
fn root_OPERAND(x: f32, a: f32, bits: u32) -> u32 {
  return max(code(a, 8u, bits), select(0u, 1u, x > 0.0));
}

// put_OPERAND writes it. All invocations of the workgroup, which has one block, must call it.
fn put_OPERAND(first: u32, i: u32, x: vec4<f32>, bits: vec4<u32>) {
  let block = first + (i / 64u) * 65u;
  let r = sqrt(x);
  let scale = largest(i % 64u, r) / level(255u, 8u);
  if (i % 64u == 0u) { OPERAND[block] = bitcast<u32>(scale); }
  let a = select(vec4<f32>(0.0, 0.0, 0.0, 0.0), r / scale, scale > 0.0);
  OPERAND[block + 1u + i % 64u] = root_OPERAND(x.x, a.x, bits.x) | (root_OPERAND(x.y, a.y, bits.y) << 8u)
    | (root_OPERAND(x.z, a.z, bits.z) << 16u) | (root_OPERAND(x.w, a.w, bits.w) << 24u);
}
