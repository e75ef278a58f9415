alias Packed_OPERAND = u32;
//#include block_bytes OPERAND

// load4_OPERAND is vec4 i of OPERAND, of llama.cpp's Q4_0: 32 values in 18 bytes, an f16
// scale, then the values 0 to 15 in the lower halves of 16 bytes and 16 to 31 in the upper.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let at = (i / 8u) * 18u;
  let codes = low_OPERAND(word_OPERAND(at + 2u + (i % 4u) * 4u) >> ((i % 8u) / 4u * 4u), 15u);
  return half_OPERAND(at) * (vec4<f32>(codes) - vec4<f32>(8.0, 8.0, 8.0, 8.0));
}
