// Loads of 4x4 blocks into the workgroup arrays xs and ys, and products of them.
fn inside(c: u32) -> u32 {
  return min(c, HEAD_DIM / 4u - 1u);
}

fn kept(x: vec4<f32>, c: u32) -> vec4<f32> { // 0 beyond the head
  return select(vec4<f32>(0.0, 0.0, 0.0, 0.0), x, c < HEAD_DIM / 4u);
}

fn q4(at: vec4<u32>, c: u32) -> mat4x4<f32> { // transposed: column = d
  return transpose(mat4x4<f32>(kept(q[at.x + inside(c)], c), kept(q[at.y + inside(c)], c), kept(q[at.z + inside(c)], c), kept(q[at.w + inside(c)], c)));
}

fn k4(at: vec4<u32>, c: u32) -> mat4x4<f32> { // transposed: column = d
  return transpose(mat4x4<f32>(kept(k[at.x + inside(c)], c), kept(k[at.y + inside(c)], c), kept(k[at.z + inside(c)], c), kept(k[at.w + inside(c)], c)));
}

fn v4(at: vec4<u32>, c: u32) -> mat4x4<f32> { // transposed: column = d
  return transpose(mat4x4<f32>(kept(v[at.x + inside(c)], c), kept(v[at.y + inside(c)], c), kept(v[at.z + inside(c)], c), kept(v[at.w + inside(c)], c)));
}

fn dout4(at: vec4<u32>, c: u32) -> mat4x4<f32> { // transposed: column = d
  return transpose(mat4x4<f32>(kept(dout[at.x + inside(c)], c), kept(dout[at.y + inside(c)], c), kept(dout[at.z + inside(c)], c), kept(dout[at.w + inside(c)], c)));
}

fn put_x(at: u32, a: mat4x4<f32>) {
  xs[at] = a[0];
  xs[at + 8u] = a[1];
  xs[at + 16u] = a[2];
  xs[at + 24u] = a[3];
}

fn put_y(at: u32, a: mat4x4<f32>) {
  ys[at] = a[0];
  ys[at + 8u] = a[1];
  ys[at + 16u] = a[2];
  ys[at + 24u] = a[3];
}

// product adds 32 outer products: column i gains xs[.][x].i * ys[.][y].
fn product(a: mat4x4<f32>, x: u32, y: u32) -> mat4x4<f32> {
  var s = a;
  for (var d = 0u; d < 32u; d++) {
    let f = xs[d * 8u + x];
    let g = ys[d * 8u + y];
    s = s + mat4x4<f32>(f.x * g, f.y * g, f.z * g, f.w * g);
  }
  return s;
}
