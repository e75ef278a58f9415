alias Packed_OPERAND = vec2<u32>;

// half_OPERAND is the f16 bits of x in the lower half: to nearest, ties to even,
// beyond 65504 infinite, by integers, as pack2x16float may round in any way.
fn half_OPERAND(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let b = bits & 0x7fffffffu;
  if (b > 0x7f800000u) { return sign | 0x7e00u; }
  if (b >= 0x477ff000u) { return sign | 0x7c00u; }
  if (b >= 0x38800000u) { return sign | ((b - 0x38000000u + 0xfffu + ((b >> 13u) & 1u)) >> 13u); }
  if (b < 0x33000000u) { return sign; }
  // A multiple of 2^-24: the fraction with its leading one, shifted.
  let shift = 126u - (b >> 23u);
  let f = (b & 0x7fffffu) | 0x800000u;
  return sign | ((f + (1u << (shift - 1u)) - 1u + ((f >> shift) & 1u)) >> shift);
}

// store4_OPERAND writes vec4 i of OPERAND, of f16 in pairs.
fn store4_OPERAND(i: u32, v: vec4<f32>) {
  OPERAND[i] = vec2<u32>(half_OPERAND(v.x) | (half_OPERAND(v.y) << 16u), half_OPERAND(v.z) | (half_OPERAND(v.w) << 16u));
}
