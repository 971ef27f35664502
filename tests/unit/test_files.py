"""Files appear whole or not at all, and read back as they were."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jobs import data_of

from bnstudy.experiment.data import read_data, write_data
from bnstudy.files import (
    DamagedFile,
    atomic,
    check_digests,
    check_file,
    digest_files,
    digest_of,
    digests,
    parquet_writer,
    read_csv,
    read_json,
    read_parquet,
    read_tensors,
    write_csv,
    write_json,
    write_parquet,
    write_tensors,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


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


def test_rows_can_be_read_by_value(tmp_path):
    tables = [pa.table({"width": [w] * 2, "epoch": [0, 1]}) for w in (10, 30)]
    write_parquet(tmp_path / "c.parquet", tables)
    rows = read_parquet(tmp_path / "c.parquet", width=30, epoch=[1, 2])
    assert rows.to_pylist() == [{"width": 30, "epoch": 1}]
    assert len(read_parquet(tmp_path / "c.parquet")) == 4
    assert pq.read_metadata(tmp_path / "c.parquet").num_row_groups == 2


def test_a_table_written_in_parts_appears_whole_or_not_at_all(tmp_path):
    part, path = pa.table({"epoch": [0, 1]}), tmp_path / "c.parquet"
    with parquet_writer(path, part.schema) as write:
        write(part)
        write(part)
        assert not path.exists()
    assert read_parquet(path)["epoch"].to_pylist() == [0, 1, 0, 1]
    with pytest.raises(RuntimeError), parquet_writer(path, part.schema) as write:
        write(part)
        raise RuntimeError
    assert len(read_parquet(path)) == 4 and list(tmp_path.iterdir()) == [path]


def written(folder) -> dict:
    """A file of each format: path → reader."""
    data = data_of([4, 9], 30, 10)
    rng = np.random.default_rng(1)
    write_data(folder / "data.npz", data)
    rows = pa.table({"width": [10] * 500, "loss": rng.lognormal(size=500)})
    write_parquet(folder / "curves.parquet", [rows, rows])
    write_tensors(folder / "checkpoint.safetensors", {"w": rng.normal(size=(3, 50))})
    write_csv(folder / "runs.csv", pd.DataFrame({"arm": "none", "loss": rng.normal(size=20)}))
    write_json(folder / "record.json", {"seeds": [1, 2, 3], "files": {}})
    return {
        "data.npz": lambda path: read_data(path).digests(),
        "curves.parquet": read_parquet,
        "checkpoint.safetensors": lambda path: read_tensors(path)["w"].tolist(),
        "runs.csv": lambda path: read_csv(path).to_csv(),
        "record.json": read_json,
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-3],
        lambda content: b"",
        lambda content: bytes(len(content)),  # what some file systems leave after a power cut
        lambda content: content[: len(content) // 2] + bytes(len(content) // 4),
        lambda content: b"<html>quota exceeded</html>",
    ],
    ids=["half", "end", "empty", "zeros", "zeros at the end", "another file"],
)
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


@pytest.mark.parametrize("name", ["runs.csv", "record.json"])
def test_a_changed_digit_is_noticed(tmp_path, name):
    read = written(tmp_path)[name]
    path = tmp_path / name
    read(path)
    text = path.read_text()
    path.write_text(text.replace("2", "3", 1))
    for look in (read, check_file):
        with pytest.raises(DamagedFile, match=f"{name} is damaged .it is not as it was written"):
            look(path)
    path.with_name(f".{name}.sha256").unlink()  # as of a file of other hands
    read(path)
    check_file(path)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("a,b\n1,2", "the end is missing"),
        ("a,b\n1,2\n\0\0\0\n", "the end is missing"),
        ("a,b\n1,2\n3\n", "rows of different lengths"),
    ],
)
def test_a_table_of_other_hands_that_was_cut_off_is_refused(tmp_path, text, cause):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DamagedFile) as found:
        read_csv(tmp_path / "t.csv")
    assert str(found.value) == (
        f"{tmp_path / 't.csv'} is damaged ({cause}). Delete it and run snakemake again: only it "
        "and what was made from it are made anew."
    )


def test_the_digest_of_several_files_is_that_of_names_and_contents(tmp_path):
    """SHA-256 of name, zero, content, zero, in the order of the names, wherever the files are."""
    a, b = tmp_path / "y/a", tmp_path / "x/b"
    for path in (a, b):
        path.parent.mkdir()
        path.write_text(f"in {path.name}")
    expected = hashlib.sha256(b"a\0in a\0b\0in b\0").hexdigest()
    assert digest_files([b, a]) == digest_files([a, b]) == expected


def test_the_digest_beside_is_what_sha256sum_reads(tmp_path):
    path = tmp_path / "t.json"
    write_json(path, {"a": 1})
    command = ["sha256sum", "--check", digest_of(path).name]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    write_json(tmp_path / "settings.json", {"a": 1}, digest=False)
    assert not digest_of(tmp_path / "settings.json").exists()


def test_a_writer_that_dies_between_a_table_and_its_digest_leaves_no_table(tmp_path, monkeypatch):
    path = tmp_path / "t.json"
    replace = Path.replace

    def die(self, target):
        if target == path:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        write_json(path, {"a": 1})
    assert [*tmp_path.iterdir()] == [digest_of(path)]
    monkeypatch.undo()
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}


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


@pytest.mark.parametrize("read", [read_csv, read_json, read_parquet, read_tensors, read_data])
def test_a_missing_file_is_not_called_damaged(tmp_path, read):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "file")


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
