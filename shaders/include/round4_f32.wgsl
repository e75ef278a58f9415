// round4_OPERAND writes vec4 i of OPERAND, of f32, which needs no rounding.
fn round4_OPERAND(i: u32, x: vec4<f32>, bits: vec4<u32>) {
  OPERAND[i] = x;
}
