// Loads of vec4 c of a head, 0 beyond the head and the last key, and stores into the workgroup array xs.
fn load_q(row: u32, head: u32, c: u32) -> vec4<f32> {
  if (c >= HEAD_DIM / 4u) {
    return vec4<f32>(0.0, 0.0, 0.0, 0.0);
  }
  return q[row * p.q_ld + head * (HEAD_DIM / 4u) + c];
}

fn load_k(row: u32, last: u32, head: u32, c: u32) -> vec4<f32> {
  if (row > last || c >= HEAD_DIM / 4u) {
    return vec4<f32>(0.0, 0.0, 0.0, 0.0);
  }
  return k[row * p.k_ld + head * (HEAD_DIM / 4u) + c];
}

fn load_v(row: u32, last: u32, head: u32, c: u32) -> vec4<f32> {
  if (row > last || c >= HEAD_DIM / 4u) {
    return vec4<f32>(0.0, 0.0, 0.0, 0.0);
  }
  return v[row * p.v_ld + head * (HEAD_DIM / 4u) + c];
}

fn put_x(at: u32, a: mat4x4<f32>) {
  xs[at] = a[0];
  xs[at + 8u] = a[1];
  xs[at + 16u] = a[2];
  xs[at + 24u] = a[3];
}
