"""datapackage.json: what each published table is, and what each of its columns means.

By the standard Data Package 2.0 (https://datapackage.org). Types are read from the tables, meanings
from columns.yaml and the diagnostics' files.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from bnstudy.config import members
from bnstudy.config.plan import SCOPES
from bnstudy.files import digests, read_csv
from bnstudy.report.captions import TABLES, Caption
from bnstudy.report.publication import publication

MEANINGS = Path(__file__).with_name("columns.yaml")
LICENCE = {"name": "CC-BY-4.0", "path": "https://creativecommons.org/licenses/by/4.0/"}
STUDIES = dict(zip(SCOPES, ("default", "all"), strict=True))  # the experiments of a scope
TYPES = {"int64": "integer", "float64": "number", "double": "number", "bool": "boolean"}
PARQUET = {
    "curves_thinned": Caption(
        "Loss curves", "One row per run and log-spaced epoch: settings, losses."
    ),
    "diagnostics": Caption(
        "Diagnostics", "One row per run and saved network: settings, diagnostics."
    ),
}


def package(root: Path) -> dict[str, Any]:
    """What datapackage.json says of the tables in published/ of the repository in `root`."""
    known, published = publication(root), root / "published"
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": "bnstudy",
        "title": "Tables of a study of batch normalisation in small neural networks",
        "description": known["description"],
        "version": known["version"],
        **({"homepage": known["repository"]} if known["repository"] else {}),
        "licenses": [LICENCE],
        "resources": [
            resource(published, table, scope)
            for scope in SCOPES
            for table in sorted((published / f"{scope}tables").glob("*.*"))
        ],
    }


def resource(published: Path, table: Path, scope: str) -> dict[str, Any]:
    """What it says of one table."""
    title, text, _ = (TABLES | PARQUET)[table.stem]
    kinds = {".csv": "text/csv", ".parquet": "application/vnd.apache.parquet"}
    return {
        "name": f"{scope.replace('/', '-')}{table.stem.replace('_', '-')}",
        "type": "table",
        "path": table.relative_to(published).as_posix(),
        "title": f"{title} ({STUDIES[scope]} experiments)",
        "description": text,
        "format": table.suffix.removeprefix("."),
        "mediatype": kinds[table.suffix],
        "bytes": table.stat().st_size,
        "hash": f"sha256:{digests([table])[table.name]}",
        "schema": {
            "fields": [
                {"name": name, "type": kind, "description": meaning(table.stem, name)}
                for name, kind in columns(table)
            ],
            "missingValues": [""],
        },
    }


def columns(table: Path) -> Iterator[tuple[str, str]]:
    """Name and type of each column; `any` where no value is there to tell."""
    if table.suffix == ".parquet":
        for field in pq.read_schema(table):
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            yield field.name, TYPES.get(str(kind), "string")
        return
    for name, values in read_csv(table).items():
        yield str(name), "any" if values.isna().all() else TYPES.get(str(values.dtype), "string")


def meaning(table: str, column: str) -> str:
    """What a column of a table means. ValueError where nobody has said so."""
    known, diagnosed = meanings(), diagnostics()
    if table == "diagnostics" and column in diagnosed:
        return diagnosed[column]
    if table == "runs" and (measured := column.removeprefix("final_")) in diagnosed:
        return known["final_<diagnostic>"] + diagnosed[measured]
    name = re.sub(r"^(epochs_to|reached)_[\d.e+-]+$", r"\1_<loss>", column)
    if found := known.get(f"{table}.{name}", known.get(name)):
        return found
    raise ValueError(f"{MEANINGS.name} does not say what {column} of {table} means")


@cache
def meanings() -> dict[str, str]:
    """What columns.yaml says."""
    return yaml.safe_load(MEANINGS.read_text())


@cache
def diagnostics() -> dict[str, str]:
    """What the columns of all diagnostics mean."""
    found: dict[str, str] = {}
    for name in members.names("diagnostics"):
        found |= members.declared("diagnostics", name)["COLUMNS"]
    return found
