"""Make published/ from a study's results: what `bnstudy verify` compares with, and readers read.

Tables of the scopes that were made (the curves thinned); figures, paper and claims of the wider
one; the settings. From these tables `make reanalyse` makes figures, claims and paper again.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bnstudy.analysis.tuning import edges
from bnstudy.commands.progress import planned_study
from bnstudy.commands.verify import CURVES, PUBLISHED, THINNED, damaged
from bnstudy.config.plan import SCOPES
from bnstudy.experiment.schedules import log_spaced_epochs
from bnstudy.files import read_csv, read_parquet, write_json

POINTS = 40  # epochs of each published curve
DIAGNOSTICS = "diagnostics.parquet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to publish."""
    parser.add_argument("results", nargs="?", default="results", type=Path, help="of the study")


def run(arguments: argparse.Namespace) -> int:
    """2 where there is no study, a file is damaged, or a choice is at the edge of those tried."""
    scopes = [scope for scope in SCOPES if (arguments.results / scope / "claims.md").exists()]
    if SCOPES[0] not in scopes:
        print(f"no {arguments.results}/claims.md: run `make`", file=sys.stderr)
        return 2
    if damage := list(damaged(arguments.results)):
        print("not published: " + "\n".join(damage), file=sys.stderr)
        return 2
    for scope in scopes:
        if found := edges(arguments.results / f"{scope}tables"):
            print("not published: " + "\n".join(found), file=sys.stderr)
            return 2
    publish(arguments.results, PUBLISHED, scopes)
    return 0


def publish(results: Path, published: Path, scopes: Sequence[str]) -> None:
    """Copy the small tables, the figures (PNG, SVG), the claims and the paper; thin the curves.

    `results`: in the study's folder, where its settings are.
    """
    for folder in ("tables", "figures", "extended"):
        shutil.rmtree(published / folder, ignore_errors=True)
    for scope in scopes:
        tables, target = results / f"{scope}tables", published / f"{scope}tables"
        target.mkdir(parents=True)
        for table in sorted(tables.glob("*.csv")):
            shutil.copyfile(table, target / table.name)
        _write(read_parquet(tables / DIAGNOSTICS), target / DIAGNOSTICS)
        _thin(tables, target / THINNED)
    (published / "figures").mkdir()
    for figure in sorted((results / scopes[-1] / "figures").iterdir()):
        if figure.suffix in (".png", ".svg"):
            shutil.copyfile(figure, published / "figures" / figure.name)
    for name in ("claims.md", "paper.pdf"):
        shutil.copyfile(results / scopes[-1] / name, published / name)
    settings = planned_study(results.parent).model_dump(mode="json", exclude={"mlflow"})
    write_json(published / "settings.json", settings, digest=False)


def _thin(tables: Path, target: Path) -> None:
    """The curves of a scope at log-spaced epochs; a scope of other networks alone has none."""
    runs = read_csv(tables / "runs.csv")
    if runs.empty:
        return
    epochs = log_spaced_epochs(int(runs.epochs.max()), POINTS).tolist()
    _write(read_parquet(tables / CURVES, epoch=epochs), target)


def _write(table: pa.Table, target: Path) -> None:
    """As Parquet, a quarter smaller than by default: of numbers, equal bytes are put together."""
    numbers = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    texts = [name for name in table.column_names if name not in numbers]
    options: dict[str, Any] = {"use_byte_stream_split": numbers, "use_dictionary": texts}
    pq.write_table(table, target, compression="zstd", compression_level=15, **options)
