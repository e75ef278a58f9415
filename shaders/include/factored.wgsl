// factored is the update of one vec4 before it is clipped, of gradient g, the second
// moment of its row and those of its columns.
fn factored(g: vec4<f32>, row: f32, columns: vec4<f32>, inverse_mean: f32) -> vec4<f32> {
  return g / (p.root * sqrt(row * inverse_mean * columns) + vec4<f32>(p.eps, p.eps, p.eps, p.eps));
}
