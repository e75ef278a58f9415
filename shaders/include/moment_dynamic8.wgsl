//#include dynamic8
alias Packed_OPERAND = u32;

fn value_OPERAND(code: u32) -> f32 {
  return select(1.0, -1.0, (code & 128u) != 0u) * level(code & 127u, 7u);
}

// moment_OPERAND is vec4 i of OPERAND, whose first block begins at word first: a sign and 7 bits.
fn moment_OPERAND(first: u32, i: u32) -> vec4<f32> {
  let block = first + (i / 64u) * 65u;
  let w = OPERAND[block + 1u + i % 64u];
  return bitcast<f32>(OPERAND[block]) * vec4<f32>(value_OPERAND(w & 255u), value_OPERAND((w >> 8u) & 255u), value_OPERAND((w >> 16u) & 255u), value_OPERAND(w >> 24u));
}

fn signed_OPERAND(x: f32, a: f32, bits: u32) -> u32 {
  return code(a, 7u, bits) | select(0u, 128u, x < 0.0);
}

// put_OPERAND writes it. All invocations of the workgroup, which has one block, must call it.
fn put_OPERAND(first: u32, i: u32, x: vec4<f32>, bits: vec4<u32>) {
  let block = first + (i / 64u) * 65u;
  let scale = largest(i % 64u, abs(x)) / level(127u, 7u);
  if (i % 64u == 0u) { OPERAND[block] = bitcast<u32>(scale); }
  let a = select(vec4<f32>(0.0, 0.0, 0.0, 0.0), abs(x) / scale, scale > 0.0);
  OPERAND[block + 1u + i % 64u] = signed_OPERAND(x.x, a.x, bits.x) | (signed_OPERAND(x.y, a.y, bits.y) << 8u)
    | (signed_OPERAND(x.z, a.z, bits.z) << 16u) | (signed_OPERAND(x.w, a.w, bits.w) << 24u);
}
