//#include load4_bf16 OPERAND
//#include round4_bf16 OPERAND
fn moment_OPERAND(first: u32, i: u32) -> vec4<f32> {
  return load4_OPERAND(i);
}

fn put_OPERAND(first: u32, i: u32, x: vec4<f32>, bits: vec4<u32>) {
  round4_OPERAND(i, x, bits);
}
