alias Packed_OPERAND = u32;
//#include block_bytes OPERAND
//#include block_scales OPERAND

// load4_OPERAND is vec4 i of OPERAND, of llama.cpp's Q5_K: 256 values in 176 bytes, as Q4_K
// with 32 bytes after the scales, of which bit n is the fifth of part n's codes.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let at = (i / 64u) * 44u;
  let sub = (i % 64u) / 8u;
  let s = scales_OPERAND(at, sub);
  let high = low_OPERAND(OPERAND[at + 4u + i % 8u] >> sub, 1u) << vec4<u32>(4u, 4u, 4u, 4u);
  let codes = low_OPERAND(OPERAND[at + 12u + sub / 2u * 8u + i % 8u] >> (sub % 2u * 4u), 15u) | high;
  return s.x * vec4<f32>(codes) - vec4<f32>(s.y, s.y, s.y, s.y);
}
