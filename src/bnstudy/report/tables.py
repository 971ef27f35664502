"""The tables of a scope as figures and paper read them."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from bnstudy.files import read_csv, read_parquet


def read_tables(paths: Iterable[str | Path]) -> dict[str, pd.DataFrame]:
    """Tables (CSV, Parquet) by their file's stem. Settings in Parquet stay categorical."""
    return {Path(path).stem: _read(Path(path)) for path in paths}


def _read(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return read_parquet(path).to_pandas()
    table = read_csv(path)
    # Without rows pandas takes every column for a text; what computes expects numbers.
    return table.astype(float) if table.empty else table
