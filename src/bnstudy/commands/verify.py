"""Compare a study's tables with the published snapshot, number by number: `make verify`.

Nothing is rebuilt. Tolerances are what rounding alone does between machines, as measured by
perturbing initial weights by 1e-15 (10 seeds, 10,000 epochs): curves agree to 1e-14 over 2,000
epochs, then Adam's spikes amplify; a run's final loss moves by up to 2 % at width 300, its epochs
to a threshold by up to 0.4 %, a geometric mean over 10 seeds by 0.3 %. Margins of 5 on that.

`python -m bnstudy.verify --publish` makes the snapshot from a study's results instead.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from bnstudy.files import read_csv, read_parquet
from bnstudy.measures import log_spaced_epochs

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "published"
EARLY = 2000  # epochs over which curves agree to rounding
THINNED = "curves_thinned.parquet"  # the published curves: log-spaced epochs only
POINTS = 40


class Check(NamedTuple):
    """Columns of a table that start with one of `columns`, compared row by row by `key`."""

    table: str
    what: str
    key: Sequence[str]
    columns: Sequence[str]
    tolerance: float | None  # relative; None: must be equal


RUN = ("arm", "width", "seed")
TEST = ("hypothesis", "role", "arm", "width", "quantity", "threshold", "margin", "test")
EFFECT = ("variant", "arm", "width", "quantity")
RATIOS = ("ratio", "hl_ratio")
CHECKS = [
    Check(THINNED, f"losses up to epoch {EARLY}", (*RUN, "epoch"), ("train_loss", "test_loss"),
          1e-6),
    Check("runs.csv", "final losses", RUN, ("final_train_loss", "final_test_loss"), 0.1),
    Check("runs.csv", "epochs to thresholds", RUN, ("epochs_to",), 0.02),
    Check("runs.csv", "features at the end", RUN,
          ("final_mean", "final_sat", "final_eff", "final_path", "final_jac"), 0.1),
    Check("gradients.csv", "gradient norms", ("initialization", "arm", "seed", "layer"),
          ("gradient_norm",), 1e-6),
    Check("digits.csv", "epochs on digits", ("network", "arm", "seed"), ("epochs_to",), 0.15),
    Check("significance.csv", "effects", TEST, RATIOS, 0.02),
    Check("significance.csv", "verdicts of tests", TEST, ("verdict",), None),
    Check("claims.csv", "verdicts on claims", ("claim",), ("verdict",), None),
    Check("sensitivity.csv", "verdicts of other analyses", ("choice", "claim"), ("verdict",), None),
    Check("extended/effects.csv", "effects, extended study", EFFECT, RATIOS, 0.02),
]  # fmt: skip


class Outcome(NamedTuple):
    """What a check found."""

    check: Check
    verdict: str  # identical, within tolerance, different, missing, not published
    values: int
    same: int
    largest: float
    examples: Sequence[str]


def compare(ours: Path, published: Path) -> Iterator[Outcome]:
    """Compare the tables in the folder `ours` with those in `published`, a check each."""
    for check in CHECKS:
        if not (published / check.table).exists():
            yield Outcome(check, "not published", 0, 0, 0.0, [])
        elif not _source(ours, check.table).exists():
            yield Outcome(check, "missing", 0, 0, 0.0, [])
        else:
            reference = _read(published, check.table)
            yield _compared(check, _thinned_like(_read(ours, check.table), reference), reference)


def _compared(check: Check, ours: pd.DataFrame, published: pd.DataFrame) -> Outcome:
    columns = [c for c in published if c.startswith(tuple(check.columns))]
    if missing := set(columns).union(check.key) - set(ours):
        return Outcome(check, "different", 0, 0, np.inf, [f"no column {c}" for c in missing])
    pairs = _indexed(published, check.key)[columns].join(
        _indexed(ours, check.key)[columns], how="outer", suffixes=(" published", " ours"),
    )  # fmt: skip
    values = same = 0
    largest, examples = 0.0, []
    for column in columns:
        theirs, mine = pairs[f"{column} published"], pairs[f"{column} ours"]
        equal = (theirs == mine) | (theirs.isna() & mine.isna())
        if check.tolerance is None:
            distance = pd.Series(np.where(equal, 0.0, np.inf), pairs.index)
        else:
            distance = (mine / theirs - 1).abs().where(~equal, 0.0).fillna(np.inf)
        values, same = values + len(equal), same + int(equal.sum())
        largest = max(largest, distance.max()) if len(distance) else largest
        for place in distance.index[distance > (check.tolerance or 0)][:3]:
            examples.append(f"{place}, {column}: {theirs[place]} published, {mine[place]} here")
    if not values:
        return Outcome(check, "not published", 0, 0, 0.0, [])
    verdict = "identical" if same == values else "different" if examples else "within tolerance"
    return Outcome(check, verdict, values, same, float(largest), examples)


def _indexed(table: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    names = table[list(key)].astype(object).where(table[list(key)].notna(), "")
    return table.set_index(pd.Index(names.agg(lambda row: " ".join(map(str, row)), axis=1)))


def _source(folder: Path, table: str) -> Path:
    path = folder / table
    return folder / "curves.parquet" if table == THINNED and not path.exists() else path


def _read(folder: Path, table: str) -> pd.DataFrame:
    path = _source(folder, table)
    if path.suffix == ".csv":
        return read_csv(path)
    return read_parquet(path, epoch=list(range(EARLY))).to_pandas()


def _thinned_like(ours: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    if "epoch" not in published:
        return ours
    return ours[ours.epoch.isin(set(published.epoch))]


def report(outcomes: Sequence[Outcome]) -> str:
    """A line a check, and what differs."""
    lines = [
        f"{'table':24}{'what':28}{'values':>11}{'identical':>11}{'largest':>11}{'allowed':>11}"
    ]
    for check, verdict, values, same, largest, examples in outcomes:
        allowed = "equal" if check.tolerance is None else f"{check.tolerance:g}"
        lines.append(
            f"{check.table:24}{check.what:28}{values:11}{same:11}{largest:11.2g}{allowed:>11}  "
            f"{verdict}"
        )
        lines += [f"    {example}" for example in examples[:5]]
    return "\n".join(lines)


def publish(results: Path, published: Path) -> None:
    """Copy the small tables, the figures (PNG, SVG) and the paper; the curves thinned."""
    for folder in (published / "tables", published / "figures"):
        shutil.rmtree(folder, ignore_errors=True)
    for source in sorted((results / "tables").rglob("*.csv")):
        target = published / source.relative_to(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    (published / "figures").mkdir(parents=True, exist_ok=True)
    for source in sorted((results / "figures").glob("*")):
        if source.suffix in (".png", ".svg"):
            shutil.copyfile(source, published / "figures" / source.name)
    shutil.copyfile(results / "claims.md", published / "claims.md")
    for paper in published.glob("paper*.pdf"):
        paper.unlink()
    for paper in results.glob("paper*.pdf"):
        shutil.copyfile(paper, published / paper.name)
    curves = results / "tables" / "curves.parquet"
    epochs = 1 + read_parquet(curves, ["epoch"])["epoch"].to_numpy().max()
    shown = log_spaced_epochs(int(epochs), POINTS).tolist()
    thinned = read_parquet(curves, epoch=shown)
    pq.write_table(thinned, published / "tables" / THINNED, compression="zstd")


def main() -> int:
    """0: identical or within tolerance; 1: something differs; 2: there is nothing to compare."""
    parser = argparse.ArgumentParser(description="compare results/ with published/")
    parser.add_argument("results", nargs="?", default="results", type=Path)
    parser.add_argument("--publish", action="store_true", help="make published/ from results/")
    arguments = parser.parse_args()
    if not (arguments.results / "tables" / "claims.csv").exists():
        print(f"no whole study in {arguments.results}: run `make` first", file=sys.stderr)
        return 2
    if arguments.publish:
        publish(arguments.results, PUBLISHED)
        return 0
    outcomes = list(compare(arguments.results / "tables", PUBLISHED / "tables"))
    print(report(outcomes))
    verdicts = {outcome.verdict for outcome in outcomes}
    changed = [e for o in outcomes if o.check.columns == ("verdict",) for e in o.examples]
    print("\nverdicts that changed: " + ("; ".join(changed) if changed else "none"))
    compulsory = {o.verdict for o in outcomes if not o.check.table.startswith("extended/")}
    bad = "different" in verdicts or bool(compulsory & {"missing", "not published"})
    print("the study DIFFERS from the published one" if bad
          else "the study agrees with the published one")  # fmt: skip
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
