// slope is scale * P * (dP - delta) of query row against 4 keys.
fn slope(s: vec4<f32>, dp: vec4<f32>, row: u32, lo: u32, head: u32, keys: vec4<u32>) -> vec4<f32> {
  let le = lse[head * p.lse_ld + row];
  let de = delta[head * p.delta_ld + row];
  let x = select(vec4<f32>(NEG, NEG, NEG, NEG), s * p.scale - vec4<f32>(le, le, le, le), (keys >= splat(lo)) & (keys <= splat(row)));
  return exp(x) * (dp - vec4<f32>(de, de, de, de)) * p.scale;
}
