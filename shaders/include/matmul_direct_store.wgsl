// Stores the 16 x 4 accumulators s of an invocation, inside of main.
  let base = w.z * p.out_stride4;
  put(base, m0 + 0u, c0, s[0]); put(base, m0 + 0u, c0 + 1u, s[1]); put(base, m0 + 0u, c0 + 2u, s[2]); put(base, m0 + 0u, c0 + 3u, s[3]);
  put(base, m0 + 1u, c0, s[4]); put(base, m0 + 1u, c0 + 1u, s[5]); put(base, m0 + 1u, c0 + 2u, s[6]); put(base, m0 + 1u, c0 + 3u, s[7]);
  put(base, m0 + 2u, c0, s[8]); put(base, m0 + 2u, c0 + 1u, s[9]); put(base, m0 + 2u, c0 + 2u, s[10]); put(base, m0 + 2u, c0 + 3u, s[11]);
  put(base, m0 + 3u, c0, s[12]); put(base, m0 + 3u, c0 + 1u, s[13]); put(base, m0 + 3u, c0 + 2u, s[14]); put(base, m0 + 3u, c0 + 3u, s[15]);
  put(base, m0 + 4u, c0, s[16]); put(base, m0 + 4u, c0 + 1u, s[17]); put(base, m0 + 4u, c0 + 2u, s[18]); put(base, m0 + 4u, c0 + 3u, s[19]);
  put(base, m0 + 5u, c0, s[20]); put(base, m0 + 5u, c0 + 1u, s[21]); put(base, m0 + 5u, c0 + 2u, s[22]); put(base, m0 + 5u, c0 + 3u, s[23]);
  put(base, m0 + 6u, c0, s[24]); put(base, m0 + 6u, c0 + 1u, s[25]); put(base, m0 + 6u, c0 + 2u, s[26]); put(base, m0 + 6u, c0 + 3u, s[27]);
  put(base, m0 + 7u, c0, s[28]); put(base, m0 + 7u, c0 + 1u, s[29]); put(base, m0 + 7u, c0 + 2u, s[30]); put(base, m0 + 7u, c0 + 3u, s[31]);
  put(base, m0 + 8u, c0, s[32]); put(base, m0 + 8u, c0 + 1u, s[33]); put(base, m0 + 8u, c0 + 2u, s[34]); put(base, m0 + 8u, c0 + 3u, s[35]);
  put(base, m0 + 9u, c0, s[36]); put(base, m0 + 9u, c0 + 1u, s[37]); put(base, m0 + 9u, c0 + 2u, s[38]); put(base, m0 + 9u, c0 + 3u, s[39]);
  put(base, m0 + 10u, c0, s[40]); put(base, m0 + 10u, c0 + 1u, s[41]); put(base, m0 + 10u, c0 + 2u, s[42]); put(base, m0 + 10u, c0 + 3u, s[43]);
  put(base, m0 + 11u, c0, s[44]); put(base, m0 + 11u, c0 + 1u, s[45]); put(base, m0 + 11u, c0 + 2u, s[46]); put(base, m0 + 11u, c0 + 3u, s[47]);
  put(base, m0 + 12u, c0, s[48]); put(base, m0 + 12u, c0 + 1u, s[49]); put(base, m0 + 12u, c0 + 2u, s[50]); put(base, m0 + 12u, c0 + 3u, s[51]);
  put(base, m0 + 13u, c0, s[52]); put(base, m0 + 13u, c0 + 1u, s[53]); put(base, m0 + 13u, c0 + 2u, s[54]); put(base, m0 + 13u, c0 + 3u, s[55]);
  put(base, m0 + 14u, c0, s[56]); put(base, m0 + 14u, c0 + 1u, s[57]); put(base, m0 + 14u, c0 + 2u, s[58]); put(base, m0 + 14u, c0 + 3u, s[59]);
  put(base, m0 + 15u, c0, s[60]); put(base, m0 + 15u, c0 + 1u, s[61]); put(base, m0 + 15u, c0 + 2u, s[62]); put(base, m0 + 15u, c0 + 3u, s[63]);
