"""Makes blocks.gguf: random blocks of every type, and beside each the values that
the gguf package makes of it; and quantized.gguf: values, and the blocks that the
package makes of them in the types that are written.

    pip install gguf==0.19.0 numpy && python3 generate.py
"""
import os

import numpy as np
from gguf import GGUFWriter
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

random = np.random.default_rng(7)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "blocks.gguf")
w = GGUFWriter(path, "llama")
w.add_uint32("test.number", 7)
w.add_array("test.texts", ["one", "two", ""])
w.add_array("test.floats", [0.5, -1.5])
for t in (T.F32, T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K):
    values, size = GGML_QUANT_SIZES[t]
    blocks = 3 * max(1, 64 // values)
    raw = random.integers(0, 256, (2, blocks * size), dtype=np.uint8)
    if t in (T.F32, T.BF16):
        raw[:, size - 1::size] &= 0xbf  # no NaN and no infinity
        want = dequantize(raw.reshape(2, -1), t) if t == T.BF16 else raw.view(np.float32)
    else:
        halves = {T.F16: [1], T.Q4_1: [1, 3], T.Q5_1: [1, 3], T.Q4_K: [1, 3], T.Q5_K: [1, 3], T.Q6_K: [209]}.get(t, [1])
        for at in halves:
            raw[:, at::size] &= 0xbf
        want = dequantize(raw, t) if t != T.F16 else raw.view(np.float16).astype(np.float32)
    w.add_tensor(t.name, raw, raw_dtype=t)
    w.add_tensor("want." + t.name, want.astype(np.float32))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

values = (random.normal(size=(6, 64)) * 10.0 ** random.integers(-3, 2, size=(6, 1))).astype(np.float32)
values[0, :32] = 0
values[1, 5] = -values[1].max() * 2  # the largest magnitude is negative, and positive
values[2, 7] = np.abs(values[2]).max() * 2
values[3, :32] = np.float32(1.5)  # equal values
values[4, ::2] = np.round(values[4, ::2])  # halves between codes
values[4, 0], values[4, 32] = 127, -127
values[5, 1::2] = 0
w = GGUFWriter(os.path.join(os.path.dirname(path), "quantized.gguf"), "llama")
w.add_tensor("values", values)
for t in (T.F32, T.F16, T.BF16, T.Q8_0, T.Q4_0):
    w.add_tensor(t.name, quantize(values, t), raw_dtype=t)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
