alias Packed_OPERAND = u32;
//#include block_bytes OPERAND
//#include block_fifth OPERAND

// load4_OPERAND is vec4 i of OPERAND, of llama.cpp's Q5_0: 32 values in 22 bytes, an f16
// scale, the fifth bits of the codes, then their lower bits as those of Q4_0.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let at = (i / 8u) * 22u;
  let j = i % 8u;
  let codes = low_OPERAND(word_OPERAND(at + 6u + (j % 4u) * 4u) >> (j / 4u * 4u), 15u) | fifth_OPERAND(word_OPERAND(at + 2u) >> (j * 4u));
  return half_OPERAND(at) * (vec4<f32>(codes) - vec4<f32>(16.0, 16.0, 16.0, 16.0));
}
