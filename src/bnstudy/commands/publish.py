"""Make published/ from a study's results: what `bnstudy verify` compares with, and readers read.

Tables of both scopes (the curves thinned), figures, paper and claims of the extended one.
"""

import argparse
import shutil
import sys
from pathlib import Path

import pyarrow.parquet as pq

from bnstudy.analysis.tuning import edges
from bnstudy.commands.verify import CURVES, PUBLISHED, THINNED
from bnstudy.config.plan import SCOPES
from bnstudy.experiment.schedules import log_spaced_epochs
from bnstudy.files import read_csv, read_parquet

POINTS = 40  # epochs of each published curve
EXTENDED = SCOPES[-1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to publish."""
    parser.add_argument("results", nargs="?", default="results", type=Path, help="of the study")


def run(arguments: argparse.Namespace) -> int:
    """2 where not both scopes were made, or a rate was chosen at the edge of those tried."""
    for scope in SCOPES:
        if not (arguments.results / f"{scope}claims.md").exists():
            made_by = "make extended" if scope else "make"
            print(f"no {arguments.results}/{scope}claims.md: run `{made_by}`", file=sys.stderr)
            return 2
        if found := edges(arguments.results / f"{scope}tables"):
            print("not published: " + "\n".join(found), file=sys.stderr)
            return 2
    publish(arguments.results, PUBLISHED)
    return 0


def publish(results: Path, published: Path) -> None:
    """Copy the small tables, the figures (PNG, SVG), the claims and the paper; thin the curves."""
    for folder in ("tables", "figures", "extended"):
        shutil.rmtree(published / folder, ignore_errors=True)
    for scope in SCOPES:
        tables, target = results / f"{scope}tables", published / f"{scope}tables"
        target.mkdir(parents=True)
        for table in sorted(tables.glob("*.csv")):
            shutil.copyfile(table, target / table.name)
        _thin(tables, target / THINNED)
    (published / "figures").mkdir()
    for figure in sorted((results / EXTENDED / "figures").iterdir()):
        if figure.suffix in (".png", ".svg"):
            shutil.copyfile(figure, published / "figures" / figure.name)
    for name in ("claims.md", "paper.pdf"):
        shutil.copyfile(results / EXTENDED / name, published / name)


def _thin(tables: Path, target: Path) -> None:
    """The curves of a scope at log-spaced epochs; a scope of other networks alone has none."""
    runs = read_csv(tables / "runs.csv")
    if runs.empty:
        return
    epochs = log_spaced_epochs(int(runs.epochs.max()), POINTS).tolist()
    pq.write_table(read_parquet(tables / CURVES, epoch=epochs), target, compression="zstd")
