// Parameters and bindings of the matrix products; b of one of the element types.
//#include load4_{B=f32} b

struct Params {
  m: u32, n: u32,           // shape of out
  k_begin: u32, k_end: u32, // terms of the sum, k_begin a multiple of 4 (NN, NT)
  lda4: u32, ldb4: u32, ldc4: u32, // row strides in vec4
  segmented: u32,           // 1: grid z is an objective, its range of k in segments
  k_per: u32,               // terms per slice of grid z, a multiple of 4
  out_stride4: u32,         // vec4 between the matrices of grid z
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<Packed_b>;
@group(0) @binding(3) var<storage, read> segments: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;
