// random4 is 32 random bits for each value of vec4 i: one round of PCG's output
// permutation of the index and the first word of key, and one with the second.
fn random4(i: u32, key: vec2<u32>) -> vec4<u32> {
  let index = vec4<u32>(4u * i, 4u * i + 1u, 4u * i + 2u, 4u * i + 3u);
  return mix4(mix4(index ^ key.xxxx) + key.yyyy);
}

fn mix4(x: vec4<u32>) -> vec4<u32> {
  let s = x * 747796405u + 2891336453u;
  let w = ((s >> ((s >> vec4<u32>(28u, 28u, 28u, 28u)) + vec4<u32>(4u, 4u, 4u, 4u))) ^ s) * 277803737u;
  return (w >> vec4<u32>(22u, 22u, 22u, 22u)) ^ w;
}
