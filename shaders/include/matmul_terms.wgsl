// terms is the range of k, begin and end, that grid z sums: an objective's or a slice's.
fn terms(z: u32) -> vec2<u32> {
  if (p.segmented != 0u) { return vec2<u32>(segments[z], segments[z + 1u]); }
  let begin = p.k_begin + z * p.k_per;
  return vec2<u32>(begin, min(p.k_end, begin + p.k_per));
}
