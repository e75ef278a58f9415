"""Writes the Parquet files of the tests, as people's tools write them (pyarrow)."""
import pyarrow as pa
import pyarrow.parquet as pq

table = pa.table({
    "id": [1, 2, 3],
    "text": ["one", "", None],
    "messages": [[{"role": "user", "content": "q"}, {"role": "assistant", "content": "é"}], [], None],
    "h": [[[["a", "b"]]], [], None],
    "ok": [True, False, None],
    "x": [0.5, float("nan"), None],
})
pq.write_table(table, "snappy.parquet", compression="snappy")
pq.write_table(table, "zstd_v2.parquet", compression="zstd", use_dictionary=False, data_page_version="2.0", row_group_size=2)
