"""Compare a study's tables with the published snapshot, number by number.

Nothing is rebuilt. Tolerances are what rounding alone does between machines, as measured by
perturbing initial weights by 1e-15 (10 seeds, 10,000 epochs): curves agree to 1e-14 over 2,000
epochs, then Adam's spikes amplify; a run's final loss moves by up to 2 % at width 300, its epochs
to a threshold by up to 0.4 %, a geometric mean over 10 seeds by 0.3 %. Margins of 5 on that.

With --integrity nothing is compared: every table, record and choice, and what records describe, is
looked at for a byte that changed since it was written.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bnstudy.config.plan import SCOPES
from bnstudy.files import DamagedFile, check_file, read_csv, read_parquet

PUBLISHED = Path(__file__).parents[3] / "published"
EARLY = 2000  # epochs over which curves agree to rounding
CURVES = "curves.parquet"
THINNED = "curves_thinned.parquet"  # the published curves: some log-spaced epochs


class Check(NamedTuple):
    """Columns of a table that start with one of `columns`, compared row by row by `key`."""

    table: str
    what: str
    key: Sequence[str]
    columns: Sequence[str]
    tolerance: float | None  # relative; None: must be equal


RUN = ("cell", "seed")
CELL = ("width", "task", "inputs", "optimizer", "batch_size", "epochs")
TEST = ("claim", "regime", "role", "arm", "quantity", "column", "of", *CELL)
EFFECT = ("variant", "arm", "width", "quantity")
RATIOS = ("ratio",)
LOSSES = ("train_loss", "test_loss")
FINALS = ("final_train_loss", "final_test_loss")
FEATURES = ("final_mean", "final_sat", "final_eff", "final_path", "final_jac")
NORMS = ("depth", "initialization", "scale", "arm", "seed", "layer")
NETWORK = ("network", "arm", "seed")
VERDICT = ("verdict",)
REGIME = ("claim", "regime")
TASK = ("task", "inputs", "quantity")
POINT = (*RUN, "epoch")
CHECKS = [
    Check(THINNED, f"losses up to epoch {EARLY}", POINT, LOSSES, 1e-6),
    Check("runs.csv", "final losses", RUN, FINALS, 0.1),
    Check("runs.csv", "epochs to thresholds", RUN, ("epochs_to",), 0.02),
    Check("runs.csv", "features at the end", RUN, FEATURES, 0.1),
    Check("gradients.csv", "gradient norms", NORMS, ("gradient_norm",), 1e-6),
    Check("digits.csv", "epochs on digits", NETWORK, ("epochs_to",), 1e-6),
    Check("mnist1d.csv", "epochs on MNIST-1D", NETWORK, ("epochs_to",), 1e-6),
    Check("effects.csv", "effects of other settings", EFFECT, RATIOS, 0.02),
    Check("significance.csv", "effects", TEST, RATIOS, 0.02),
    Check("significance.csv", "directions", TEST, ("direction",), None),
    Check("claims.csv", "verdicts on claims", REGIME, VERDICT, None),
    Check("sensitivity.csv", "verdicts of other analyses", ("choice", *REGIME), VERDICT, None),
    Check("tasks.csv", "effects on tasks", TASK, ("reference", "arm"), 0.05),
    Check("curvature.csv", f"conditions up to epoch {EARLY}", POINT, ("condition",), 1e-3),
]


class Outcome(NamedTuple):
    """What a check found in a scope."""

    scope: str
    check: Check
    verdict: str  # identical, within tolerance, different, missing, not published, not made
    values: int = 0
    same: int = 0
    largest: float = 0.0
    examples: Sequence[str] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to compare."""
    parser.add_argument("results", nargs="?", default="results", type=Path, help="of the study")
    parser.add_argument("--integrity", action="store_true", help="only look for changed bytes")


def run(arguments: argparse.Namespace) -> int:
    """0: identical or within tolerance; 1: something differs; 2: there is nothing to compare."""
    if arguments.integrity:
        found = list(damaged(arguments.results))
        print("\n".join(found) or f"all of {arguments.results} is as it was written")
        return int(bool(found))
    if not (arguments.results / "tables" / "claims.csv").exists():
        print(f"no whole study in {arguments.results}: run `make`", file=sys.stderr)
        return 2
    outcomes = list(compare(arguments.results, PUBLISHED))
    print(report(outcomes))
    changed = [e for o in outcomes if o.check.columns == VERDICT for e in o.examples]
    print("\nverdicts that changed: " + ("; ".join(changed) if changed else "none"))
    bad = {o.verdict for o in outcomes} & {"different", "missing", "not published"}
    print(f"the study {'DIFFERS from' if bad else 'agrees with'} the published one")
    return int(bool(bad))


def damaged(results: Path) -> Iterator[str]:
    """A line on each file of a study that is not as it was written."""
    for path in sorted(results.rglob("*")):
        try:
            check_file(path)
        except (DamagedFile, FileNotFoundError) as error:
            yield str(error)


def compare(results: Path, published: Path) -> Iterator[Outcome]:
    """Compare the tables of both scopes below the two folders, one outcome per check.

    The extended scope may not have been made here; the default one must, but for the tables of
    experiments that are not in it.
    """
    for scope in SCOPES:
        ours, theirs = results / f"{scope}tables", published / f"{scope}tables"
        for check in CHECKS:
            table = CURVES if check.table == THINNED else check.table
            here, there = (ours / table).exists(), (theirs / check.table).exists()
            if not (here or there) or (scope and not ours.exists()):
                yield Outcome(scope, check, "not made")
            elif not there:
                yield Outcome(scope, check, "not published")
            elif not here:
                yield Outcome(scope, check, "missing")
            else:
                reference = _read(theirs / check.table)
                epochs = set(reference.epoch) if "epoch" in reference else set()
                yield _compared(scope, check, _read(ours / table, epochs), reference)


def _compared(scope: str, check: Check, ours: pd.DataFrame, published: pd.DataFrame) -> Outcome:
    if ours.empty and published.empty:  # the default study compares no other settings
        return Outcome(scope, check, "identical")
    columns = [c for c in map(str, published) if c.startswith(tuple(check.columns))]
    if not columns:
        return Outcome(scope, check, "not published")
    if missing := set(columns).union(check.key) - (set(map(str, ours)) & set(map(str, published))):
        examples = [f"no column {c}" for c in sorted(missing)]
        return Outcome(scope, check, "different", largest=np.inf, examples=examples)
    left, right = (_indexed(table, check.key)[columns] for table in (published, ours))
    pairs = left.add_suffix(" published").join(right.add_suffix(" ours"), how="outer")
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
    verdict = "identical" if same == values else "different" if examples else "within tolerance"
    return Outcome(scope, check, verdict, values, same, float(largest), examples)


def _indexed(table: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    names = table[list(key)].astype(object).where(table[list(key)].notna(), "")
    rows = names.itertuples(index=False)
    return table.set_index(pd.Index([" ".join(map(str, row)) for row in rows], dtype=object))


def _read(path: Path, epochs: Iterable[int] = ()) -> pd.DataFrame:
    """A table; by epoch only the early ones: of curves those of `epochs`, where they are given."""
    if path.suffix == ".csv":
        table = read_csv(path)
        return table[table.epoch < EARLY] if "epoch" in table else table
    early = [epoch for epoch in sorted(epochs) or range(EARLY) if epoch < EARLY]
    return read_parquet(path, ["cell", "seed", "epoch", *LOSSES], epoch=early).to_pandas()


def changed_verdicts(results: Path, published: Path) -> list[str]:
    """A line on each claim and regime with another verdict in `results` than in `published`."""
    lines = []
    for tables in (f"{scope}tables" for scope in SCOPES if (results / scope / "tables").exists()):
        ours, theirs = (read_csv(place / tables / "claims.csv") for place in (results, published))
        both = theirs.merge(ours, "outer", ["claim", "regime"], suffixes=("_then", "_now"))
        both = both.fillna("missing")
        changed = both[both.verdict_then != both.verdict_now]
        lines += [
            f"{row.claim}, {row.regime}: {row.verdict_then} as published, {row.verdict_now} here"
            for row in changed.itertuples()
        ]
    return lines


def report(outcomes: Sequence[Outcome]) -> str:
    """One line per check, and what differs."""
    header = f"{'table':32}{'what':28}{'values':>11}{'identical':>11}{'largest':>11}{'allowed':>11}"
    lines = [header]
    for scope, check, verdict, values, same, largest, examples in outcomes:
        allowed = "equal" if check.tolerance is None else f"{check.tolerance:g}"
        lines.append(
            f"{scope + check.table:32}{check.what:28}{values:11}{same:11}{largest:11.2g}"
            f"{allowed:>11}  {verdict}"
        )
        lines += [f"    {example}" for example in examples[:5]]
    return "\n".join(lines)
