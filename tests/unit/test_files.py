"""Files appear whole or not at all, and read back as they were."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bnstudy.data import make_data
from bnstudy.files import (
    DamagedFile,
    atomic,
    check_digests,
    digests,
    read_csv,
    read_curves,
    read_data,
    read_json,
    read_parquet,
    read_tensors,
    write_csv,
    write_data,
    write_json,
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


def written(folder) -> dict:
    """A file of each format: path → reader."""
    data = make_data([4, 9], 30, 10, RANGES)
    rng = np.random.default_rng(1)
    write_data(folder / "data.npz", data)
    rows = pa.table({"width": [10] * 500, "loss": rng.lognormal(size=500)})
    write_parquet(folder / "curves.parquet", [rows, rows])
    write_tensors(folder / "checkpoint.safetensors", {"w": rng.normal(size=(3, 50))})
    write_csv(folder / "runs.csv", pd.DataFrame({"arm": "none", "loss": rng.normal(size=20)}))
    write_json(folder / "record.json", {"arm": "none", "seeds": [1, 2, 3]})
    return {
        "data.npz": lambda path: read_data(path).digests(),
        "curves.parquet": read_parquet,
        "checkpoint.safetensors": lambda path: read_tensors(path)["w"].tolist(),
        "runs.csv": lambda path: read_csv(path).to_csv(),
        "record.json": read_json,
    }  # fmt: skip


@pytest.mark.parametrize("damage", [
    lambda content: content[: len(content) // 2],
    lambda content: content[:-3],
    lambda content: b"",
    lambda content: bytes(len(content)),  # what some file systems leave after a power cut
    lambda content: content[: len(content) // 2] + bytes(len(content) // 4),
    lambda content: b"<html>quota exceeded</html>",
], ids=["half", "end", "empty", "zeros", "zeros at the end", "another file"])  # fmt: skip
def test_a_damaged_file_is_refused_by_name(tmp_path, damage):
    for name, read in written(tmp_path).items():
        (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
        with pytest.raises(DamagedFile, match=f"{name} is damaged .*Delete it and run snakemake"):
            read(tmp_path / name)


@pytest.mark.parametrize("name", ["data.npz", "curves.parquet"])
def test_no_flipped_bit_passes_for_data(tmp_path, name):
    """Formats with checksums; metadata without effect on the values may differ."""
    read = written(tmp_path)[name]
    path, rng = tmp_path / name, np.random.default_rng(2)
    content, value = path.read_bytes(), read(path)
    refused = 0
    for place in rng.integers(0, 3 * len(content) // 4, size=200):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        path.write_bytes(flipped)
        try:
            assert read(path) == value
        except DamagedFile:
            refused += 1
    assert refused > 150


def test_any_flipped_bit_shows_in_the_digest(tmp_path):
    written(tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    expected = digests([path])
    check_digests([path], expected)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    read_tensors(path)  # the format has no checksum
    with pytest.raises(DamagedFile, match=r"checkpoint.safetensors is damaged"):
        check_digests([path], expected)


def test_a_missing_file_is_not_called_damaged(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_csv(tmp_path / "runs.csv")


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path):
    """But not what a living one is writing: here process 1."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, living = tmp_path / f".{dead.pid}.t.csv", tmp_path / ".1.t.csv"
    other = tmp_path / f".{dead.pid}.other.csv"
    for path in (left, living, other):
        path.write_text("half")
    write_csv(tmp_path / "t.csv", pd.DataFrame({"a": [1]}))
    assert not left.exists() and living.exists() and other.exists()
