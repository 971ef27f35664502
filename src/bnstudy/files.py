"""Files that appear whole or not at all, and readers that refuse a damaged one by name.

Parquet pages and the members of an npz carry checksums of their own. What a block's record says of
the other files of the block (see `digests`) covers every byte of them. CSV and JSON have a digest
in a hidden file beside them, as `sha256sum --check` reads it.
"""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

if TYPE_CHECKING:  # half a second, which training does not need
    import pandas as pd


class DamagedFile(ValueError):
    """A file is not what was once written there; the message names it and the remedy."""

    def __init__(self, path: str | Path, cause: object):
        super().__init__(
            f"{path} is damaged ({cause}). Delete it and run snakemake again: "
            "only it and what was made from it are made anew."
        )


@contextmanager
def refusing_damage(path: str | Path) -> Iterator[None]:
    """Turn whatever a parser says of broken contents into DamagedFile."""
    try:
        yield
    except DamagedFile:
        raise
    except Exception as error:  # each format's library has its own, and bare ones from within
        # The system's word on the file, not a parser's; safetensors gives a missing one no number.
        if isinstance(error, FileNotFoundError) or getattr(error, "errno", None) is not None:
            raise
        cause = " ".join(str(error).split()) or type(error).__name__
        raise DamagedFile(path, cause) from error


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends without an error.

    The name is fixed before the bytes are: whoever reads `path` sees the old file, or the whole new
    one. The suffix stays, since writers choose a format by it. A process may die here, and one that
    outlived its Snakemake may write the same file meanwhile: each has a temporary file of its own,
    and the next writer sweeps up after the dead.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".*.{path.name}"):
        process = left.name.split(".")[1]
        if process.isdecimal() and not _alive(int(process)):
            left.unlink(missing_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # a full disk is an error here, not a truncated file later
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def _text(path: str | Path) -> Iterator[Path]:
    """As `atomic`, with the file's digest beside it: there before the file is, so that whoever
    reads the file finds the digest of what he reads."""
    path = Path(path)
    with atomic(path) as temporary:
        yield temporary
        with atomic(digest_of(path)) as beside:
            beside.write_text(f"{digests([temporary])[temporary.name]}  {path.name}\n")


def digest_of(path: Path) -> Path:
    """Where the digest of a CSV or JSON file lies."""
    return path.with_name(f".{path.name}.sha256")


def _read_text(path: str | Path) -> str:
    """DamagedFile if it is not as its digest says; files of other hands have none."""
    content, beside = Path(path).read_bytes(), digest_of(Path(path))
    if beside.exists() and hashlib.sha256(content).hexdigest() not in beside.read_text():
        raise DamagedFile(path, "it is not as it was written")
    return content.decode()


def write_json(path: str | Path, value: Any, *, digest: bool = True) -> None:
    """JSON, indented, in the given order of keys; without a `digest` where people may edit it."""
    with (_text if digest else atomic)(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """The value in a JSON file."""
    with refusing_damage(path):
        return json.loads(_read_text(path))


def write_csv(path: str | Path, table: "pd.DataFrame") -> None:
    """CSV with full-precision floats (the shortest text that reads back as the same float64)."""
    with _text(path) as temporary:
        table.to_csv(temporary, index=False)


def read_csv(path: str | Path) -> "pd.DataFrame":
    """A table of `write_csv`, floats bit for bit; the arm `none` stays a text."""
    import pandas as pd

    with refusing_damage(path):
        text = _read_text(path)
        _check_shape(text)
        return pd.read_csv(StringIO(text), keep_default_na=False, na_values=[""])


def _check_shape(text: str) -> None:
    """ValueError where a CSV was cut off or zeroed; pandas would fill the gap with NaN."""
    if not text.endswith("\n") or "\0" in text:
        raise ValueError("the end is missing")
    if len({len(row) for row in csv.reader(text.splitlines(keepends=True))}) != 1:
        raise ValueError("rows of different lengths")


def digests(paths: Iterable[str | Path]) -> dict[str, str]:
    """SHA-256 of each file, by its name."""
    result = {}
    for path in map(Path, paths):
        with path.open("rb") as file:
            result[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return result


def check_digests(paths: Iterable[str | Path], expected: Mapping[str, str]) -> None:
    """DamagedFile if a file is not the one whose `digests` are `expected`."""
    for path in map(Path, paths):
        if digests([path])[path.name] != expected.get(path.name):
            raise DamagedFile(path, "it is not the file that its record.json describes")


def check_file(path: Path) -> None:
    """DamagedFile if a CSV, JSON or Parquet file is not as it was written, or if a file is not that
    its record.json describes."""
    if path.name == "record.json":
        described = read_json(path)["files"]
        check_digests([path.with_name(name) for name in described], described)
    elif path.suffix in (".csv", ".json"):
        with refusing_damage(path):
            _read_text(path)
    elif path.suffix == ".parquet":
        with refusing_damage(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches():
                pass


def digest_files(paths: Iterable[str | Path]) -> str:
    """SHA-256 of the files' names and contents, in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(map(Path, paths), key=lambda path: path.name):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def write_tensors(path: str | Path, tensors: Mapping[str, np.ndarray], **metadata: str) -> None:
    """Named arrays as safetensors, with named texts."""
    with atomic(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        arrays = {name: np.asarray(a, order="C") for name, a in tensors.items()}
        save_file(arrays, temporary, metadata or None)
        temporary.chmod(mode)  # safetensors lets nobody else read it


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of `write_tensors`."""
    with refusing_damage(path):
        return load_file(path)


@contextmanager
def parquet_writer(path: str | Path, schema: pa.Schema) -> Iterator[Callable[[pa.Table], None]]:
    """A function that appends a table as one row group; `path` appears when the block ends."""
    with (
        atomic(path) as temporary,
        pq.ParquetWriter(temporary, schema, compression="zstd", write_page_checksum=True) as writer,
    ):
        yield lambda table: writer.write_table(table, row_group_size=len(table) or None)


def write_parquet(path: str | Path, tables: Iterable[pa.Table]) -> None:
    """Tables of one schema below each other, each a row group, never all in memory at once."""
    tables = iter(tables)
    first = next(tables)
    with parquet_writer(path, first.schema) as write:
        write(first)
        for table in tables:
            write(table)


def read_parquet(
    path: str | Path, columns: Sequence[str] | None = None, **where: str | int | list[int]
) -> pa.Table:
    """The table in `path`; only rows where the named columns have these values (or one of these),
    and only these `columns`, if given."""
    filters = [
        (name, "in" if isinstance(value, list) else "=", value) for name, value in where.items()
    ]
    with refusing_damage(path):
        return pq.read_table(
            path,
            columns=columns,
            filters=filters or None,
            partitioning=None,
            page_checksum_verification=True,
        )
