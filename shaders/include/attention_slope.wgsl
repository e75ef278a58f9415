//#include softcap

// slope is scale * P * (dP - delta), times the cap's derivative, of query row against 4 keys.
fn slope(s: vec4<f32>, dp: vec4<f32>, row: u32, lo: u32, head: u32, keys: vec4<u32>) -> vec4<f32> {
  let le = lse[head * p.lse_ld + row];
  let de = delta[head * p.delta_ld + row];
  let z = capped(s * p.scale);
  let x = select(vec4<f32>(NEG, NEG, NEG, NEG), z - vec4<f32>(le, le, le, le), (keys >= splat(lo)) & (keys <= splat(row)));
  return exp(x) * (dp - vec4<f32>(de, de, de, de)) * p.scale * bend(z);
}
