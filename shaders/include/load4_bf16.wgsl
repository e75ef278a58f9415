alias Packed_OPERAND = vec2<u32>;

// load4_OPERAND is vec4 i of OPERAND, of bf16: the upper halves of f32.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let word = OPERAND[i];
  return bitcast<vec4<f32>>(vec4<u32>(word.x << 16u, word.x & 0xffff0000u, word.y << 16u, word.y & 0xffff0000u));
}
