// gelu_share is s of gelu(g) = g * s, the tanh form of GELU: 0.5 (1 + tanh u) with
// u = sqrt(2/pi) (g + 0.044715 g^3). The arguments are bounded where s is 0 or 1 to
// float32, so that neither the cube nor exp overflows; a NaN stays one.
const EDGE: f32 = 12.0;

fn gelu_share(g: vec4<f32>) -> vec4<f32> {
  let x = clamp(g, vec4<f32>(-EDGE), vec4<f32>(EDGE));
  return 1.0 / (1.0 + exp(min(-1.5957691216057308 * x * (1.0 + 0.044715 * x * x), vec4<f32>(80.0))));
}

// gelu_slope is gelu'(g) = s + g s (1 - s) 2 u'(g).
fn gelu_slope(g: vec4<f32>) -> vec4<f32> {
  let s = gelu_share(g);
  let x = clamp(g, vec4<f32>(-EDGE), vec4<f32>(EDGE));
  return s + g * s * (1.0 - s) * 1.5957691216057308 * (1.0 + 0.134145 * x * x);
}
