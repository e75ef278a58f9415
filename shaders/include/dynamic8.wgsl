// Blocks of 256 values: a scale, then 64 words of 4 codes. A code k > 0 of 2^e .. 2^(e+1)-1
// is a level in the decade e - decades below 1, which has 2^e levels.
var<workgroup> largest_of: array<f32, 64>;

// largest is the largest of all 64 invocations' x. All must call it.
fn largest(t: u32, x: vec4<f32>) -> f32 {
  workgroupBarrier();
  largest_of[t] = max(max(x.x, x.y), max(x.z, x.w));
  workgroupBarrier();
  if (t < 8u) {
    var most = largest_of[t];
    for (var k = 8u; k < 64u; k += 8u) { most = max(most, largest_of[t + k]); }
    largest_of[t] = most;
  }
  workgroupBarrier();
  var most = largest_of[0];
  for (var k = 1u; k < 8u; k++) { most = max(most, largest_of[k]); }
  return most;
}

fn ten_to_minus(n: u32) -> f32 {
  switch n {
    case 0u: { return 1.0; }
    case 1u: { return 0.1; }
    case 2u: { return 0.01; }
    case 3u: { return 0.001; }
    case 4u: { return 0.0001; }
    case 5u: { return 0.00001; }
    case 6u: { return 0.000001; }
    default: { return 0.0000001; }
  }
}

fn level(k: u32, decades: u32) -> f32 {
  if (k == 0u) { return 0.0; }
  let e = firstLeadingBit(k);
  return ten_to_minus(decades - 1u - e) * (0.1 + 0.9 * (f32(k - (1u << e)) + 0.5) / f32(1u << e));
}

// code is the level below a, of 0 .. 1, or the one above, by chance, so that the mean is a.
fn code(a: f32, decades: u32, bits: u32) -> u32 {
  var e = 0u;
  for (var j = 1u; j < decades; j++) {
    if (a >= level(1u << j, decades)) { e = j; }
  }
  let width = f32(1u << e);
  let f = floor((a / ten_to_minus(decades - 1u - e) - 0.1) / 0.9 * width - 0.5);
  var k = (1u << e) + u32(clamp(f, 0.0, width - 1.0));
  if (a < level(1u, decades)) { k = 0u; }
  let top = (1u << decades) - 1u;
  if (k >= top) { return top; }
  let low = level(k, decades);
  let part = (a - low) / (level(k + 1u, decades) - low);
  return k + select(0u, 1u, f32(bits) * 0.0000152587890625 < part);
}
