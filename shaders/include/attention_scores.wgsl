//#include softcap

// score scales and caps one query's scores of keys, NEG outside [lo, hi].
fn score(s: vec4<f32>, keys: vec4<u32>, lo: u32, hi: u32) -> vec4<f32> {
  return select(vec4<f32>(NEG, NEG, NEG, NEG), capped(s * p.scale), (keys >= splat(lo)) & (keys <= splat(hi)));
}

fn weigh(s: vec4<f32>, top: f32) -> vec4<f32> {
  let none = vec4<f32>(NEG, NEG, NEG, NEG);
  return select(exp(s - vec4<f32>(top, top, top, top)), vec4<f32>(0.0, 0.0, 0.0, 0.0), s == none);
}

// columns scales the columns of a, one per query, by f.
fn columns(a: mat4x4<f32>, f: vec4<f32>) -> mat4x4<f32> {
  return mat4x4<f32>(a[0] * f.x, a[1] * f.y, a[2] * f.z, a[3] * f.w);
}
