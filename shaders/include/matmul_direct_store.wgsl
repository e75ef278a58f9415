// Stores the 16 x 4 accumulators s of an invocation, inside of main: row 0, then the others move up.
// A store is long in a CPU rasterizer, which writes lane by lane: 64 of them took longer to compile than all else.
  let base = w.z * p.out_stride4;
  for (var i = 0u; i < 16u; i++) {
    put(base, m0 + i, c0, s[0]); put(base, m0 + i, c0 + 1u, s[1]); put(base, m0 + i, c0 + 2u, s[2]); put(base, m0 + i, c0 + 3u, s[3]);
    s[0] = s[4]; s[1] = s[5]; s[2] = s[6]; s[3] = s[7];
    s[4] = s[8]; s[5] = s[9]; s[6] = s[10]; s[7] = s[11];
    s[8] = s[12]; s[9] = s[13]; s[10] = s[14]; s[11] = s[15];
    s[12] = s[16]; s[13] = s[17]; s[14] = s[18]; s[15] = s[19];
    s[16] = s[20]; s[17] = s[21]; s[18] = s[22]; s[19] = s[23];
    s[20] = s[24]; s[21] = s[25]; s[22] = s[26]; s[23] = s[27];
    s[24] = s[28]; s[25] = s[29]; s[26] = s[30]; s[27] = s[31];
    s[28] = s[32]; s[29] = s[33]; s[30] = s[34]; s[31] = s[35];
    s[32] = s[36]; s[33] = s[37]; s[34] = s[38]; s[35] = s[39];
    s[36] = s[40]; s[37] = s[41]; s[38] = s[42]; s[39] = s[43];
    s[40] = s[44]; s[41] = s[45]; s[42] = s[46]; s[43] = s[47];
    s[44] = s[48]; s[45] = s[49]; s[46] = s[50]; s[47] = s[51];
    s[48] = s[52]; s[49] = s[53]; s[50] = s[54]; s[51] = s[55];
    s[52] = s[56]; s[53] = s[57]; s[54] = s[58]; s[55] = s[59];
    s[56] = s[60]; s[57] = s[61]; s[58] = s[62]; s[59] = s[63];
  }
