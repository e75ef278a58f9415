alias Packed_OPERAND = vec4<f32>;

// store4_OPERAND writes vec4 i of OPERAND, of f32.
fn store4_OPERAND(i: u32, v: vec4<f32>) {
  OPERAND[i] = v;
}
