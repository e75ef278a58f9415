// round4_OPERAND writes vec4 i of OPERAND, of bf16: up or down by chance, so that the
// mean is x. bits are 16 random ones for each value; x is finite.
fn round4_OPERAND(i: u32, x: vec4<f32>, bits: vec4<u32>) {
  let y = bitcast<vec4<u32>>(x) + bits;
  OPERAND[i] = vec2<u32>((y.x >> 16u) | (y.y & 0xffff0000u), (y.z >> 16u) | (y.w & 0xffff0000u));
}
