alias Packed_OPERAND = u32;
//#include block_bytes OPERAND

// load4_OPERAND is vec4 i of OPERAND, of llama.cpp's Q6_K: 256 values in 210 bytes, of each
// half 64 bytes of lower and then 32 of upper bits, signed scales of 16 values, an f16 scale.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let at = (i / 64u) * 210u;
  let sub = (i % 64u) / 8u;
  let k = (i % 8u) * 4u;
  let low = low_OPERAND(word_OPERAND(at + sub / 4u * 64u + sub % 2u * 32u + k) >> (sub / 2u % 2u * 4u), 15u);
  let high = low_OPERAND(word_OPERAND(at + 128u + sub / 4u * 32u + k) >> (sub % 4u * 2u), 3u) << vec4<u32>(4u, 4u, 4u, 4u);
  let scale = i32(byte_OPERAND(at + 192u + sub * 2u + k / 16u) << 24u) >> 24u;
  return (half_OPERAND(at + 208u) * f32(scale)) * (vec4<f32>(low | high) - vec4<f32>(32.0, 32.0, 32.0, 32.0));
}
