// scales_OPERAND are the scale and the minimum of 32 values, the sub-th of 8, of the
// block of OPERAND that begins at word at: two f16, and 6 bits of each in 12 bytes.
fn scales_OPERAND(at: u32, sub: u32) -> vec2<f32> {
  let d = unpack2x16float(OPERAND[at]);
  let s = at * 4u + 4u;
  var scale = byte_OPERAND(s + sub) & 63u;
  var least = byte_OPERAND(s + sub + 4u) & 63u;
  if (sub >= 4u) {
    let both = byte_OPERAND(s + sub + 4u);
    scale = (both & 15u) | ((byte_OPERAND(s + sub - 4u) >> 6u) << 4u);
    least = (both >> 4u) | ((byte_OPERAND(s + sub) >> 6u) << 4u);
  }
  return d * vec2<f32>(f32(scale), f32(least));
}
