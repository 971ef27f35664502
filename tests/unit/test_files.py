"""Files appear whole or not at all, and read back as they were."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bnstudy.data import make_data
from bnstudy.files import (
    atomic,
    read_csv,
    read_curves,
    read_data,
    read_tensors,
    write_csv,
    write_data,
    write_parquet,
    write_tensors,
)

RANGES = {"r": [-1.0, 1.0], "g": [-1.0, 1.0], "b": [-1.0, 1.0]}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_data_reads_back_and_has_the_same_bytes_each_time(tmp_path):
    data = make_data([4, 9], 30, 10, RANGES)
    write_data(tmp_path / "a.npz", data)
    write_data(tmp_path / "b.npz", data)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert read_data(tmp_path / "a.npz").digests() == data.digests()


def test_tables_keep_every_bit_and_the_arm_none(tmp_path):
    values = np.random.default_rng(1).lognormal(sigma=20, size=1000)
    table = pd.DataFrame({"arm": "none", "value": [*values, np.nan, np.inf], "said": ""})
    write_csv(tmp_path / "t.csv", table)
    back = read_csv(tmp_path / "t.csv")
    assert (back.arm == "none").all()
    np.testing.assert_array_equal(back.value, table.value)


def test_tensors_read_back(tmp_path):
    tensors = {"w": np.arange(6.0).reshape(2, 3).T, "step": np.array(3.0)}
    write_tensors(tmp_path / "t.safetensors", tensors)
    back = read_tensors(tmp_path / "t.safetensors")
    assert set(back) == set(tensors)
    np.testing.assert_array_equal(back["w"], tensors["w"])


def test_curves_can_be_read_by_width(tmp_path):
    tables = [pa.table({"width": [w] * 2, "epoch": [0, 1]}) for w in (10, 30)]
    write_parquet(tmp_path / "c.parquet", tables)
    assert read_curves(tmp_path / "c.parquet", width=30).width.tolist() == [30, 30]
    assert len(read_curves(tmp_path / "c.parquet")) == 4
