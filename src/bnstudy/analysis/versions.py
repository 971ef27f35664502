"""What the runs were made with: software and processors."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd


def versions(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """versions.csv: one row per package and version, and per processor, in the blocks' `records`.

    Columns: kind (software, processor), name, version (of software only).
    """
    rows: set[tuple[str, str, str]] = set()
    for record in records:
        rows.add(("processor", record["machine"]["processor"], ""))
        rows |= {("software", name, version) for name, version in record["versions"].items()}
    return pd.DataFrame(sorted(rows), columns=["kind", "name", "version"])
