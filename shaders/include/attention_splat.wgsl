fn splat(x: u32) -> vec4<u32> {
  return vec4<u32>(x, x, x, x);
}
