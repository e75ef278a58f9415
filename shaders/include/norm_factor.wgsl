override OFFSET: f32 = 0.0; // added to weight: 1 in families that keep weight - 1 (Gemma)

fn factor(c: u32) -> vec4<f32> {
  if (OFFSET != 0.0) {
    return weight[c] + vec4<f32>(OFFSET);
  }
  return weight[c];
}
