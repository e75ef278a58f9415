// word_OPERAND is the 4 bytes of OPERAND from byte at, an even number, on.
fn word_OPERAND(at: u32) -> u32 {
  let low = OPERAND[at / 4u];
  if (at % 4u == 0u) { return low; }
  return (low >> 16u) | (OPERAND[at / 4u + 1u] << 16u);
}

// byte_OPERAND is one byte of OPERAND.
fn byte_OPERAND(at: u32) -> u32 {
  return (OPERAND[at / 4u] >> ((at % 4u) * 8u)) & 255u;
}

// half_OPERAND is the f16 at byte at, an even number, of OPERAND.
fn half_OPERAND(at: u32) -> f32 {
  return unpack2x16float(OPERAND[at / 4u] >> ((at % 4u) * 8u)).x;
}

// low_OPERAND are the bits of mask of the 4 bytes of w.
fn low_OPERAND(w: u32, mask: u32) -> vec4<u32> {
  return vec4<u32>(w, w >> 8u, w >> 16u, w >> 24u) & vec4<u32>(mask, mask, mask, mask);
}
