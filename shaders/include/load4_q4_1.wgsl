alias Packed_OPERAND = u32;
//#include block_bytes OPERAND

// load4_OPERAND is vec4 i of OPERAND, of llama.cpp's Q4_1: 32 values in 20 bytes, scale and
// minimum as f16, then codes as those of Q4_0.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let at = (i / 8u) * 5u;
  let d = unpack2x16float(OPERAND[at]);
  let codes = low_OPERAND(OPERAND[at + 1u + i % 4u] >> ((i % 8u) / 4u * 4u), 15u);
  return d.x * vec4<f32>(codes) + vec4<f32>(d.y, d.y, d.y, d.y);
}
