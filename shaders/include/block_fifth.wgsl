// fifth_OPERAND are the lowest 4 bits of w, each as the fifth bit of a code.
fn fifth_OPERAND(w: u32) -> vec4<u32> {
  return (vec4<u32>(w, w >> 1u, w >> 2u, w >> 3u) & vec4<u32>(1u, 1u, 1u, 1u)) << vec4<u32>(4u, 4u, 4u, 4u);
}
