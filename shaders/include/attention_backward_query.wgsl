// Parameters and bindings of the gradient of the queries.
struct Params {
  rows: u32,
  first: u32, // tiles first .. end-1, head by head
  end: u32,
  group: u32,   // query heads per key head
  q_ld: u32,    // vec4, as all leading dimensions but lse_ld, delta_ld
  k_ld: u32,
  v_ld: u32,
  dout_ld: u32,
  dq_ld: u32,
  lse_ld: u32,  // f32
  delta_ld: u32,
  first_key: u32,
  keys: u32,    // a multiple of the tile
  scale: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> start: array<u32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> lse: array<f32>;
@group(0) @binding(7) var<storage, read> delta: array<f32>;
@group(0) @binding(8) var<storage, read_write> dq: array<vec4<f32>>;
