alias Packed_OPERAND = vec2<u32>;

// load4_OPERAND is vec4 i of OPERAND, of f16 in pairs.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let word = OPERAND[i];
  return vec4<f32>(unpack2x16float(word.x), unpack2x16float(word.y));
}
