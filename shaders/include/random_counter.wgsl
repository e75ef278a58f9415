// random_counter is 128 random bits of a counter of 128: a bijection, so that two counters
// never give the same four words. Jarzynski and Olano, Hash Functions for GPU Rendering,
// JCGT 9(3), 2020: pcg4d.
fn random_counter(counter: vec4<u32>) -> vec4<u32> {
  var v = cross4(counter * 1664525u + 1013904223u);
  v = v ^ (v >> vec4<u32>(16u, 16u, 16u, 16u));
  return cross4(v);
}

fn cross4(v: vec4<u32>) -> vec4<u32> {
  let x = v.x + v.y * v.w;
  let y = v.y + v.z * x;
  let z = v.z + x * y;
  return vec4<u32>(x, y, z, v.w + y * z);
}
