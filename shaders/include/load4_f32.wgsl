alias Packed_OPERAND = vec4<f32>;

// load4_OPERAND is vec4 i of OPERAND, of f32.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  return OPERAND[i];
}
