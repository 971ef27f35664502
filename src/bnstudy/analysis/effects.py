"""BN's effect at settings other than the study's defaults, and along a longer budget.

Exploratory throughout: effects with intervals, and p that is adjusted for nothing. A run that
diverged counts against its arm as everywhere (bnstudy.analysis.outcomes); a ratio of its losses is
none, so there its pair is left out. Each row counts these runs: `failed_none`, `failed_arm`.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from bnstudy.analysis.comparisons import Row, attempt, effect_of, flip
from bnstudy.analysis.outcomes import (
    PAIR,
    REFERENCE,
    TREATMENT,
    Diverged,
    failures,
    failures_as_worst,
    final_loss,
    has_settings,
    log_ratio,
    log_ratio_of,
    threshold_columns,
    with_partner,
)
from bnstudy.config.cell import ARTICLE
from bnstudy.config.models import Analysis, StudySettings
from bnstudy.experiment.data import ARTICLE_VARIANCE
from bnstudy.experiment.schedules import log_spaced_epochs
from bnstudy.files import read_parquet

Cell = Mapping[str, Any]  # the settings of a cell by name
QUANTITIES: dict[str, Diverged] = {
    "final_test_loss": "worst",
    "epochs_to": "slowest",
    "test_over_train": "left out",
}
# Columns where there is no row.
EFFECTS = ["kind", "variant", "label", "arm", "quantity", "ratio", "ratio_low", "ratio_high"]
HORIZON = ["width", "epochs", "ratio", "ratio_low", "ratio_high"]


def effects(
    runs: pd.DataFrame,
    experiments: pd.DataFrame,
    study: StudySettings,
    arm_settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """One row per (kind, setting, width, quantity): ratio to `none` of the same cell, with its
    interval.

    `runs`, `experiments`: the scope's tables. Compared are the cells with other settings than the
    defaults, or that the default experiments do not name; above them stands what those name, on the
    same seeds. Tuned runs, and runs on tuning seeds, enter nothing. `arm_settings`: by arm, for
    the labels. Quantities: final_test_loss, epochs_to (the primary threshold), test_over_train (the
    final losses' ratio).
    """
    usual = experiments[experiments.experiment.isin(study.default_experiments)].cell
    plain = has_settings(runs, study.reference)
    finished = runs.status == "finished"
    runs = runs.assign(
        usual=plain & runs.cell.isin(usual),
        epochs_to=runs[threshold_columns(study.analysis.primary.threshold)[0]],
        test_over_train=(runs.final_test_loss / runs.final_train_loss).where(finished),
    )
    runs = runs[
        ~runs.seed.isin(study.seeds.tuning.range) & (runs.tuned_for == ARTICLE["tuned_for"])
    ]
    widest, seeds = float(runs[runs.usual].width.max()), runs[~runs.usual].seed
    rows = []
    for cell in _compared(runs, study):
        peers = runs[has_settings(runs, {name: cell[name] for name in study.reference})]
        if cell["usual"]:
            peers = peers[peers.seed.isin(seeds)]
        settings = (arm_settings or {}).get(cell["arm"], {})
        kind, variant, label = _described(cell, study.reference, widest, settings)
        front = {"kind": kind, "variant": variant, "label": f"{label}, width {cell['width']}"}
        rows += [front | row for row in _effects_of_cell(peers, variant, cell, study.analysis)]
    return pd.DataFrame(rows, columns=None if rows else EFFECTS)


def _compared(runs: pd.DataFrame, study: StudySettings) -> list[Cell]:
    """The cells to compare with none: the usual ones first, then other arms, then other settings.

    Without any but the usual ones there is nothing to say that significance.csv does not.
    """
    if runs.usual.all():
        return []
    arms = runs[(runs.arm != REFERENCE) & ~(runs.usual & (runs.arm != TREATMENT))]
    cells: list[Any] = arms.drop_duplicates("cell").to_dict("records")

    def place(cell: Cell) -> tuple[Any, ...]:
        _, variant, _ = _described(cell, study.reference)
        return not cell["usual"], cell["arm"] == TREATMENT, variant, cell["width"]

    return sorted(cells, key=place)


def _described(
    cell: Cell, reference: Cell, widest: float = 0, arm_settings: Cell = MappingProxyType({})
) -> tuple[str, str, str]:
    """What is special about a cell: its kind, its variant and a label."""
    if cell["usual"]:
        return "default", "default", "as in the default study"
    differing = {k: cell[k] for k, v in reference.items() if str(cell[k]) != str(v)}
    if "batch_size" in differing:  # which has a budget of its own
        differing.pop("epochs", None)
    kinds, labels = list(differing), [_label(name, cell) for name in differing]
    variants = [f"{name}_{_text(value)}" for name, value in differing.items()]
    if (arm := cell["arm"]) != TREATMENT:
        values = map(_text, arm_settings.values())
        kinds, variants = [arm, *kinds], [arm, *variants]
        labels = [f"{' '.join([arm, *values])} (against none)", *labels]
    if not kinds:
        return "width", "width", "wider" if cell["width"] > widest else "another width"
    return "+".join(kinds), "+".join(variants), ", ".join(labels)


def _label(setting: str, cell: Cell) -> str:
    value = _text(cell[setting])
    match setting:
        case "batch_size":
            size = "full batches" if value == "full" else f"minibatches of {value}"
            return f"{size}, {cell['epochs']} epochs"
        case "epochs":
            return f"{cell['epochs']} epochs"
    return f"{setting.replace('_', ' ')} {value}"


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _effects_of_cell(
    peers: pd.DataFrame, variant: str, cell: Cell, analysis: Analysis
) -> Iterator[Row]:
    """The comparisons of one cell with none among its `peers`, which have the same settings."""
    arm, width = cell["arm"], cell["width"]
    peers = with_partner(peers[peers.width == width], arm)
    failed = failures(peers, arm)
    for quantity, diverged in QUANTITIES.items():
        d = log_ratio(peers, quantity, arm, diverged)
        p, reason = attempt(flip(d, analysis, "extended", variant, width, quantity))
        yield {
            "arm": arm,
            "reference": REFERENCE,
            "width": width,
            "quantity": quantity,
            **effect_of(d, analysis),
            "failed_none": failed[0],
            "failed_arm": failed[1],
            "p": np.nan if p is None else p,
            "reason": reason,
        }


def horizon_curves(
    path: Path, experiments: pd.DataFrame, study: StudySettings
) -> Iterator[pd.DataFrame]:
    """The curves of the longest budget beyond the default one, a table per width: what `horizon`
    needs of a scope's curves.parquet. Only cells that are otherwise as the defaults say, and whose
    learning rate is constant."""
    others = {**study.reference, "schedule": "constant"}
    epochs = others.pop("epochs")
    cells = experiments[has_settings(experiments, others) & experiments.arm.isin(PAIR)]
    cells = cells[cells.epochs > epochs].drop_duplicates("cell")
    both = cells[cells.groupby(["width", "epochs"]).arm.transform("size") == 2]
    longest = both[both.epochs == both.groupby("width").epochs.transform("max")]
    columns = ["arm", "width", "seed", "epoch", "test_loss"]
    for _, pair in longest.groupby("width"):
        yield read_parquet(path, columns, cell=pair.cell.tolist()).to_pandas()


def horizon(curves: Iterable[pd.DataFrame], study: StudySettings, points: int = 40) -> pd.DataFrame:
    """One row per (width, number of epochs): ratio of median test losses, with its interval.

    `curves`: those of `horizon_curves`. Medians over the final window before each point. `slope_*`:
    geometric mean, over the seeds that have not diverged, of the change of an arm's loss over the
    last doubling of the epochs; 1 would be converged. `failed_*`: those that have.
    """
    analysis = study.analysis
    rows = []
    for cell in curves:
        width = int(cell.width.iloc[0])
        medians = {
            arm: _medians(cell[cell.arm == arm], analysis.final_window, points) for arm in PAIR
        }
        for epochs in map(int, medians[REFERENCE].columns):
            losses = pd.DataFrame({arm: medians[arm][epochs] for arm in PAIR}).dropna()
            whole = failures_as_worst(pd.concat([losses[arm] for arm in PAIR]), ARTICLE_VARIANCE)
            none, batch = np.split(whole.to_numpy(), 2)
            row: Row = {"width": width, "epochs": epochs}
            row |= effect_of(log_ratio_of(none, batch), analysis)
            row |= {f"slope_{arm}": _slope(medians[arm], epochs) for arm in PAIR}
            rows.append(row | {f"failed_{arm}": int(np.isinf(losses[arm]).sum()) for arm in PAIR})
    return pd.DataFrame(rows, columns=None if rows else HORIZON)


def _medians(curves: pd.DataFrame, window: int, points: int) -> pd.DataFrame:
    """Median test loss of the window before each of some log-spaced numbers of epochs, infinite
    where the run has diverged; one row per seed, ordered."""
    losses = curves.pivot(index="seed", columns="epoch", values="test_loss")
    values, total = losses.to_numpy(), losses.shape[1]
    ends = {total} | {e + 1 for e in log_spaced_epochs(total, points) if e + 1 >= window}
    ends |= {(end + 1) // 2 for end in ends if end >= 2 * window}
    medians = {end: final_loss(values[:, :end], window) for end in sorted(ends)}
    return pd.DataFrame(medians, index=losses.index)


def _slope(medians: pd.DataFrame, epochs: int) -> float:
    half = (epochs + 1) // 2
    if half not in medians:
        return np.nan
    going = medians[np.isfinite(medians[epochs])]
    return float(np.exp((np.log(going[epochs]) - np.log(going[half])).mean()))
