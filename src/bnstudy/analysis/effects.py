"""The extended study's tables: one row a run, BN's effect a setting, and the long horizon.

Exploratory throughout: effects with intervals, and p that is adjusted for nothing. A run that
diverged counts against its arm as in the default study (bnstudy.measures): of a loss it has the
worst value of its cell, of epochs the budget; a ratio of its losses is none, so there its pair is
left out. Each row counts these runs: `failed_none`, `failed_arm`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from bnstudy import statistics
from bnstudy.files import read_json
from bnstudy.hypotheses import attempt, effect_of, generator_of
from bnstudy.measures import (
    TARGET_VARIANCE,
    failures,
    failures_as_worst,
    final_loss,
    log_ratio,
    log_spaced_epochs,
    threshold_columns,
)
from bnstudy.study import PAIR, Analysis

# How a run differs from the default study's: columns of the extended tables.
SETTINGS = {
    "epochs": ("training", "epochs"),
    "learning_rate": ("training", "learning_rate"),
    "batch_size": ("training", "batch_size"),
    "label_noise": ("label_noise",),
    "dropout_rate": ("dropout", "rate"),
}
# Columns where there is no row.
EFFECTS = ["kind", "variant", "label", "arm", "quantity", "ratio", "ratio_low", "ratio_high"]
HORIZON = ["width", "epochs", "ratio", "ratio_low", "ratio_high"]
LABELS = {
    "default": "as in the default study",
    "width": "wider",
    "learning_rate": "learning rate {learning_rate:g}",
    "label_noise": "label noise {label_noise:g}",
    "batch_size": "minibatches of {batch_size:.0f}, {epochs:.0f} epochs",
    "epochs": "{epochs:.0f} epochs",
    "dropout": "dropout {dropout_rate:g} (against none)",
}


def with_settings(
    runs: pd.DataFrame, records: Sequence[Path], variants: Sequence[str], kinds: Sequence[str]
) -> pd.DataFrame:
    """`runs` of blocks (as from collect_runs) with their variant, kind and settings in front.

    `records`, `variants`, `kinds`: one a block.
    """
    rows = []
    for path, variant, kind in zip(records, variants, kinds, strict=True):
        record = read_json(path)
        settings = {name: _at(record["settings"], keys) for name, keys in SETTINGS.items()}
        for key in record["run_keys"].values():
            rows.append({"run_key": key, "variant": variant, "kind": kind} | settings)
    front = pd.DataFrame(rows, columns=["run_key", "variant", "kind", *SETTINGS])
    return front.merge(runs, on="run_key", validate="one_to_one")


def _at(settings: dict, keys: Sequence[str]) -> float:
    for key in keys:
        settings = settings.get(key, {})
    return settings or np.nan


def effects(extended: pd.DataFrame, default: pd.DataFrame, analysis: Analysis) -> pd.DataFrame:
    """One row a (kind, setting, width, quantity): ratio to `none` with its interval.

    `extended`: runs of the extended study; `default`: of the default one, whose runs with the same
    seeds stand on top, and are what dropout is compared with. Quantities: final_test_loss,
    epochs_to (the primary threshold), test_over_train (the final losses' ratio).
    """
    seeds = set(extended.seed)
    base = default[default.seed.isin(seeds) & default.arm.isin(["none", "batch"])]
    base = base.assign(kind="default", variant="default")
    dropout = extended[extended.kind == "dropout"]
    partners = base[(base.arm == "none") & base.width.isin(dropout.width)]
    partners = partners.assign(kind="dropout", variant="dropout")
    runs = pd.concat([base, partners, extended], ignore_index=True)  # dropout's own rows last
    runs["epochs_to"] = runs[threshold_columns(analysis.primary.threshold)[0]]
    finite = runs.status == "finished"
    runs["test_over_train"] = (runs.final_test_loss / runs.final_train_loss).where(finite)
    rows = []
    for (kind, variant, width), cell in runs.groupby(["kind", "variant", "width"], sort=False):
        arm = "dropout" if kind == "dropout" else "batch"
        label = f"{LABELS[kind]}, width {width}".format(**cell.iloc[-1])
        failed = failures(cell, width, arm)
        for quantity in ("final_test_loss", "epochs_to", "test_over_train"):
            d = log_ratio(cell, width, quantity, arm)
            name = ("extended", variant, width, quantity)
            p, reason = attempt(partial(
                statistics.sign_flip, d, "two-sided", alpha=analysis.alpha,
                rng=generator_of(analysis, *name), resamples=analysis.permutations,
            ))  # fmt: skip
            rows.append({
                "kind": kind, "variant": variant, "label": label, "arm": arm, "reference": "none",
                "width": width, "quantity": quantity, **effect_of(d, analysis, *name),
                "failed_none": failed[0], "failed_arm": failed[1],
                "p": np.nan if p is None else p, "reason": reason,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=None if rows else EFFECTS)


def horizon(curves: pd.DataFrame, analysis: Analysis, points: int = 40) -> pd.DataFrame:
    """H2c: one row a (width, number of epochs): ratio of median test losses, with its interval.

    `curves`: those of the long horizon. Medians over the final window before each point. `slope_*`:
    geometric mean, over the seeds that have not diverged, of the change of an arm's loss over the
    last doubling of the epochs; 1 would be converged. `failed_*`: those that have.
    """
    window = analysis.final_window
    rows = []
    for width, cell in curves.groupby("width"):
        medians = {arm: _medians(cell[cell.arm == arm], window, points) for arm in PAIR}
        for epochs in medians["none"].columns:
            losses = pd.DataFrame({arm: medians[arm][epochs] for arm in PAIR})
            d = np.log(failures_as_worst(losses.stack(), TARGET_VARIANCE)).unstack()
            effect = effect_of((d.batch - d.none).to_numpy(), analysis, "horizon", width, epochs)
            rows.append({
                "width": width, "epochs": epochs, **effect,
                **{f"slope_{arm}": _slope(medians[arm], epochs) for arm in PAIR},
                **{f"failed_{arm}": int(np.isinf(losses[arm]).sum()) for arm in PAIR},
            })  # fmt: skip
    return pd.DataFrame(rows, columns=None if rows else HORIZON)


def _medians(curves: pd.DataFrame, window: int, points: int) -> pd.DataFrame:
    """Median test loss of the window before each of some log-spaced numbers of epochs, infinite
    where the run has diverged; a row a seed, ordered."""
    losses = curves.pivot(index="seed", columns="epoch", values="test_loss").to_numpy()
    total = losses.shape[1]
    ends = {total} | {e + 1 for e in log_spaced_epochs(total, points) if e + 1 >= window}
    ends |= {(end + 1) // 2 for end in ends if end >= 2 * window}
    return pd.DataFrame({end: final_loss(losses[:, :end], window) for end in sorted(ends)})


def _slope(medians: pd.DataFrame, epochs: int) -> float:
    half = (epochs + 1) // 2
    if half not in medians:
        return np.nan
    going = medians[np.isfinite(medians[epochs])]
    return float(np.exp((np.log(going[epochs]) - np.log(going[half])).mean()))
