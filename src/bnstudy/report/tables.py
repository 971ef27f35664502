"""The tables of a scope as figures and paper read them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from bnstudy.files import read_csv, read_parquet


def read_tables(paths: Iterable[str | Path]) -> dict[str, pd.DataFrame]:
    """Tables (CSV, Parquet) by their file's stem. Settings in Parquet stay categorical."""
    return {
        Path(path).stem: read_csv(path)
        if Path(path).suffix == ".csv"
        else read_parquet(path).to_pandas()
        for path in paths
    }


def each_row(table: pd.DataFrame) -> Iterator[Any]:
    """The rows, with the columns as attributes."""
    return table.itertuples()
