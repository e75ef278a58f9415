alias Packed_OPERAND = vec2<u32>;

// store4_OPERAND writes vec4 i of OPERAND, of bf16: to nearest, ties to even; a NaN stays one.
fn store4_OPERAND(i: u32, v: vec4<f32>) {
  let x = bitcast<vec4<u32>>(v);
  let one = vec4<u32>(1u, 1u, 1u, 1u);
  let half = vec4<u32>(0x7fffu, 0x7fffu, 0x7fffu, 0x7fffu);
  let nan = (x & vec4<u32>(0x7fffffffu, 0x7fffffffu, 0x7fffffffu, 0x7fffffffu)) > vec4<u32>(0x7f800000u, 0x7f800000u, 0x7f800000u, 0x7f800000u);
  let rounded = select(x + half + ((x >> vec4<u32>(16u, 16u, 16u, 16u)) & one), x | vec4<u32>(0x400000u, 0x400000u, 0x400000u, 0x400000u), nan);
  OPERAND[i] = vec2<u32>((rounded.x >> 16u) | (rounded.y & 0xffff0000u), (rounded.z >> 16u) | (rounded.w & 0xffff0000u));
}
