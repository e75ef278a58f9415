alias Packed_OPERAND = u32;
//#include block_bytes OPERAND

// load4_OPERAND is vec4 i of OPERAND, of llama.cpp's Q8_0: 32 values in 34 bytes, an f16
// scale and signed bytes.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let at = (i / 8u) * 34u;
  let word = word_OPERAND(at + 2u + (i % 8u) * 4u);
  let codes = vec4<f32>(f32(i32(word << 24u) >> 24u), f32(i32(word << 16u) >> 24u), f32(i32(word << 8u) >> 24u), f32(i32(word) >> 24u));
  return half_OPERAND(at) * codes;
}
