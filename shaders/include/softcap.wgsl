// The soft cap SOFTCAP * tanh(s / SOFTCAP) of scores (Gemma 2, arXiv:2408.00118);
// 0: none. tanh is a series near 0, where differences of exponentials cancel.
override SOFTCAP: f32 = 0.0;

fn tanh4(x: vec4<f32>) -> vec4<f32> {
  let t = exp(-2.0 * abs(x));
  let q = x * x;
  let series = x * (1.0 + q * (-1.0 / 3.0 + q * (2.0 / 15.0 + q * (-17.0 / 315.0 + q * (62.0 / 2835.0)))));
  return select(sign(x) * (1.0 - t) / (1.0 + t), series, q < vec4<f32>(0.0625));
}

fn capped(s: vec4<f32>) -> vec4<f32> {
  if (SOFTCAP > 0.0) {
    return SOFTCAP * tanh4(s / SOFTCAP);
  }
  return s;
}

// bend is the derivative of capped at the score that it made z of.
fn bend(z: vec4<f32>) -> vec4<f32> {
  if (SOFTCAP > 0.0) {
    return 1.0 - (z / SOFTCAP) * (z / SOFTCAP);
  }
  return vec4<f32>(1.0);
}
