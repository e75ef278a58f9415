alias Packed_OPERAND = u32;
//#include block_bytes OPERAND
//#include block_scales OPERAND

// load4_OPERAND is vec4 i of OPERAND, of llama.cpp's Q4_K: 256 values in 144 bytes, the
// scales of 8 parts of 32, then of each two parts 32 bytes, lower halves first.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let at = (i / 64u) * 36u;
  let sub = (i % 64u) / 8u;
  let s = scales_OPERAND(at, sub);
  let codes = low_OPERAND(OPERAND[at + 4u + sub / 2u * 8u + i % 8u] >> (sub % 2u * 4u), 15u);
  return s.x * vec4<f32>(codes) - vec4<f32>(s.y, s.y, s.y, s.y);
}
