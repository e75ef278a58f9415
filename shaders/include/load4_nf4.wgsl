alias Packed_OPERAND = u32;

// pick_OPERAND is b where c has the given bit, else a.
fn pick_OPERAND(c: vec4<u32>, bit: u32, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  return select(a, b, (c & vec4<u32>(bit, bit, bit, bit)) != vec4<u32>(0u, 0u, 0u, 0u));
}

// pair_OPERAND picks one of two levels of QLoRA's NormalFloat by the lowest bit of c.
fn pair_OPERAND(c: vec4<u32>, a: f32, b: f32) -> vec4<f32> {
  return pick_OPERAND(c, 1u, vec4<f32>(a, a, a, a), vec4<f32>(b, b, b, b));
}

fn quad_OPERAND(c: vec4<u32>, l: vec4<f32>) -> vec4<f32> {
  return pick_OPERAND(c, 2u, pair_OPERAND(c, l.x, l.y), pair_OPERAND(c, l.z, l.w));
}

// level_OPERAND is a tree, not an array: an index that varies puts the array in memory.
fn level_OPERAND(c: vec4<u32>) -> vec4<f32> {
  let low = pick_OPERAND(c, 4u,
    quad_OPERAND(c, vec4<f32>(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453)),
    quad_OPERAND(c, vec4<f32>(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0)));
  let high = pick_OPERAND(c, 4u,
    quad_OPERAND(c, vec4<f32>(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224)),
    quad_OPERAND(c, vec4<f32>(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0)));
  return pick_OPERAND(c, 8u, low, high);
}

// load4_OPERAND is vec4 i of OPERAND, of 64 nf4 by block: the scale, then 8 words of 8 codes.
fn load4_OPERAND(i: u32) -> vec4<f32> {
  let block = (i / 16u) * 9u;
  let word = OPERAND[block + 1u + (i % 16u) / 2u] >> ((i % 2u) * 16u);
  return bitcast<f32>(OPERAND[block]) * level_OPERAND(vec4<u32>(word, word >> 4u, word >> 8u, word >> 12u));
}
