alias Packed_OPERAND = u32;

// load4_OPERAND is vec4 i of OPERAND, of 32 int8 by block: the scale, then 8 words of 4 codes.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let block = (i / 8u) * 9u;
  let word = OPERAND[block + 1u + i % 8u];
  let codes = vec4<f32>(f32(i32(word << 24u) >> 24u), f32(i32(word << 16u) >> 24u), f32(i32(word << 8u) >> 24u), f32(i32(word) >> 24u));
  return bitcast<f32>(OPERAND[block]) * codes;
}
