"""The explorer: claims, curves and tables of a study as one page that opens without a network.

What is shown is prepared here and goes into the page as JSON; charts.py says how charts look,
explorer.html how the page does, and what happens on it.
"""

import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment

from bnstudy.analysis.hypotheses import ARTICLE, MEAN_TASK, MINIBATCHES, NEW_TASK, TUNED
from bnstudy.analysis.outcomes import each_row, tests_of_tasks
from bnstudy.analysis.wording import interval
from bnstudy.config.cell import UNTUNED
from bnstudy.config.models import StudySettings
from bnstudy.experiment.schedules import log_spaced_epochs
from bnstudy.report.captions import TABLES
from bnstudy.report.charts import charts, library
from bnstudy.report.style import look, ordered

TEMPLATE = Path(__file__).with_suffix(".html")
CURVES = ["cell", "epochs", "seed", "epoch", "train_loss", "test_loss"]  # columns that are read
POINTS = 40  # epochs of each curve
QUARTILES = np.array([0.25, 0.5, 0.75])
CHOSEN = ["learning_rate", "schedule"]  # by tuning
COLUMNS = (ARTICLE, TUNED, MINIBATCHES, "other regimes")  # of the matrix
# How the page calls settings that differ within an experiment.
WORDS = {
    "task": "task {}",
    "inputs": "{} inputs",
    "width": "width {}",
    "optimizer": "{}",
    "learning_rate": "learning rate {}",
    "schedule": "{}",
    "batch_size": "batch size {}",
    "epochs": "{} epochs",
    "label_noise": "label noise {}",
    "tuned_for": "tuned for {}",
    "tuned_rank": "choice {}",
}
# Columns of runs.csv that are shown, by how they begin; all settings of a run are in its key.
SHOWN_OF_RUNS = (
    *("run_key", "arm", "width", "learning_rate", "schedule", "seed", "status"),
    *("final_train_loss", "final_test_loss", "epochs_to_", "seconds"),
)

Json = Any


def page(tables: dict[str, pd.DataFrame], template: str, study: StudySettings) -> str:
    """The page. `tables`: those of `captions.TABLES` that the scope has and `curves_thinned` (its
    columns CURVES), by name; `template`: the text of explorer.html."""
    experiments, tests = _with_rates(tables["experiments"], tables["runs"]), tables["significance"]
    data = {
        "charts": charts([look(arm) for arm in ordered(experiments.arm)]),
        "claims": list(matrix(tables["claims"], tests)),
        "series": list(series(tables["curves_thinned"], experiments)),
        "rates": [
            group
            for group in groups(experiments[~_tuned(experiments)], CHOSEN, study)
            if experiments.learning_rate[group["series"]].nunique() > 1
        ],
        "curves": groups(experiments, [], study),
        "tasks": list(tasks(tests, study)),
        "tables": {name: _records(name, tables[name]) for name in TABLES if name in tables},
    }
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.from_string(template).render(
        preview=study.preview,
        columns=COLUMNS,
        data=data,
        titles={name: TABLES[name].title for name in data["tables"]},
        library=library(),
    )


# --- the claims -----------------------------------------------------------------------------------


def matrix(claims: pd.DataFrame, tests: pd.DataFrame) -> Iterator[Json]:
    """Of each claim its words, its summary and its cells, a list per column of the matrix."""
    for name, rows in claims.groupby("claim", sort=False):
        cells: dict[str, list[Json]] = {column: [] for column in COLUMNS}
        for row in each_row(rows):
            column = row.regime if row.regime in cells else COLUMNS[-1]
            deciding = (tests.claim == row.claim) & (tests.regime == row.regime)
            cells[column].append(_cell(row, tests[deciding & (tests.role == "primary")]))
        first = rows.iloc[0]
        yield {"name": name, "words": first.words, "summary": first.summary, "cells": cells}


def _cell(row: Any, tests: pd.DataFrame) -> Json:
    """A claim in a regime: its verdict, the comparison that decides it, and those that it rests on,
    `tests`."""
    return {
        "id": f"{row.claim}-{row.regime}".replace(" ", "-"),
        "regime": row.regime,
        "verdict": row.verdict,
        "quantity": _quantity(row),
        "ratio": interval(row),
        "sentences": list(tests.sentence),
        "ratios": [
            _ratio(test) | {"label": f"{_quantity(test)}\n{interval(test)}: {test.direction}"}
            for test in each_row(tests)
        ],
    }


def _quantity(row: Any) -> str:
    return row.quantity if pd.isna(row.width) else f"{row.quantity}, width {row.width:g}"


def _ratio(row: Any) -> Json:
    """A ratio with its interval, and the ratios that count as the same."""
    numbers = {"ratio": row.ratio, "low": row.ratio_low, "high": row.ratio_high}
    numbers |= {"same_low": 1 / row.margin, "same_high": row.margin}
    return {name: _plain(value) for name, value in numbers.items()}


def tasks(tests: pd.DataFrame, study: StudySettings) -> Iterator[Json]:
    """BN's effect task by task, each arm tuned, and for the mean task and a new one: of each
    quantity its name and the ratios."""
    tuned = tests_of_tasks(tests, study)
    pooled = tests[tests.regime.isin([MEAN_TASK, NEW_TASK])]
    pooled = pooled.assign(task=pooled.regime, inputs="all")
    for quantity, rows in tuned.groupby("quantity", sort=False):
        shown = pd.concat([rows, pooled[pooled.quantity == quantity]])
        if rows.task.nunique() > 1:
            yield {
                "label": quantity,
                "ratios": [
                    _ratio(row) | {"task": row.task, "inputs": row.inputs, "label": interval(row)}
                    for row in each_row(shown)
                ],
            }


# --- the curves -----------------------------------------------------------------------------------


def series(curves: pd.DataFrame, experiments: pd.DataFrame) -> Iterator[Json]:
    """Of each row of `experiments` arm, rate, schedule, seeds, and quartiles of both losses over
    the seeds (a list each of low, middle, high) by epochs done. A diverged run counts as infinite;
    what is not finite is None."""
    rows = _log_spaced(curves).astype({"cell": experiments.cell.dtype})
    found = rows.merge(experiments.rename_axis("series").reset_index(), on="cell")
    found = found[found.seed.between(found.first_seed, found.first_seed + found.seeds - 1)]
    losses = found[["train_loss", "test_loss"]].fillna(np.inf)
    quartiles = losses.groupby([found.series, found.epoch]).quantile(QUARTILES).unstack()
    finite: Any = quartiles.replace(np.inf, np.nan).groupby(level="series")
    for row, (_, own) in zip(each_row(experiments), finite, strict=True):
        yield {
            "arm": look(row.arm).label,
            "learning_rate": row.learning_rate,
            "schedule": row.schedule,
            "seeds": row.seeds,
            "epochs": [int(epoch) + 1 for epoch in own.index.get_level_values("epoch")],
            **{
                part: [[_plain(v) for v in values] for values in own[f"{part}_loss"].to_numpy().T]
                for part in ("test", "train")
            },
        }


def groups(experiments: pd.DataFrame, apart: Collection[str], study: StudySettings) -> list[Json]:
    """Rows of `experiments` that differ in the arm and the settings `apart` alone, by experiment,
    default ones first: how they are called, and their places."""
    found = []
    for name in dict.fromkeys([*study.default_experiments, *experiments.experiment]):
        cells = experiments[experiments.experiment == name]
        alike = {*apart, *(CHOSEN if _tuned(cells).any() else ())}
        differ = [s for s in WORDS if s not in alike and cells[s].nunique() > 1]
        for _, members in cells.groupby(differ or "experiment", sort=False):
            first = members.iloc[0]
            label = ", ".join(WORDS[setting].format(first[setting]) for setting in differ)
            places = members.index.tolist()
            found.append({"label": f"{name}: {label}" if label else name, "series": places})
    return found


def _tuned(cells: pd.DataFrame) -> pd.Series:
    return cells.tuned_for != UNTUNED["tuned_for"]


def _with_rates(experiments: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """`experiments` with the rates and schedules that were chosen for tuned cells."""
    chosen = runs.drop_duplicates("cell")[["cell", *CHOSEN]]
    return experiments.drop(columns=CHOSEN).merge(chosen, on="cell")


def _log_spaced(curves: pd.DataFrame) -> pd.DataFrame:
    """The rows at POINTS log-spaced epochs of each budget, or at those next to them that are
    there."""
    shown = [curves[:0]]
    for budget in curves.epochs.unique():
        rows = curves[curves.epochs == budget]
        epochs = np.unique(rows.epoch)
        places = np.searchsorted(epochs, log_spaced_epochs(int(budget), POINTS))
        shown.append(rows[rows.epoch.isin(epochs[places.clip(max=len(epochs) - 1)])])
    return pd.concat(shown)


# --- the tables -----------------------------------------------------------------------------------


def _records(name: str, table: pd.DataFrame) -> Json:
    """A table's caption, columns and rows; of runs the columns that the page has room for."""
    caption = TABLES[name].text
    if name == "runs":
        table = table.loc[:, table.columns.str.startswith(SHOWN_OF_RUNS)]
        caption += " Here the main columns; runs.csv has all."
    rows = [[_plain(v) for v in row] for row in table.astype(object).itertuples(index=False)]
    return {"caption": caption, "columns": list(table), "rows": rows}


def _plain(value: Any) -> Json:
    """A value for JSON: a float to four digits, None where it is missing, a text if infinite."""
    if pd.isna(value):
        return None
    if not isinstance(value, float):
        return value
    return str(value) if math.isinf(value) else float(f"{value:.4g}")
