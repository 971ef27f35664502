"""The systems against each other: cost of a model-epoch (train step and test), one core."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.problem import ARMS, Run
from benchmarks.systems import SYSTEMS

log = logging.getLogger(__name__)

CELL = ["arm", "width", "replicates"]
REPLICATES_WIDTHS = (10, 300)  # where numbers of replicates other than the first are measured


@dataclass
class Prepared:
    """A system, or a variant of one, ready to be measured: `epochs` is how many make a sample of
    the wanted length."""

    system: str
    arm: str
    width: int
    replicates: int
    run: Run
    epochs: int = 2

    def sample(self) -> float:
        """Milliseconds per model-epoch."""
        start = time.perf_counter()
        self.run(self.epochs)
        return 1000 * (time.perf_counter() - start) / (self.epochs * self.replicates)

    def warm_up(self, seconds: float) -> None:
        """Compile what is to be compiled, and settle for so many epochs as take `seconds`."""
        self.run(2)
        cost = min(self.sample() for _ in range(2)) * self.replicates / 1000
        self.epochs = max(2, round(seconds / cost))
        self.run(self.epochs)  # some compile for a number of epochs


def measure(
    systems: Sequence[str],
    widths: Sequence[int],
    replicates: Sequence[int],
    repeats: int,
    seconds: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All systems in all cells, `repeats` rounds.

    In a round every system is measured once in every cell, systems in rotating order, so that a
    slow minute of the machine hits all alike. Returns the samples (one row each: arm, width,
    replicates, system, round, ms) and what was not available (system, arm, width, reason).
    """
    cells, missing = prepare(systems, widths, replicates, seconds)
    rows = []
    for number in range(repeats):
        start = time.perf_counter()
        for (arm, width, count), cell in cells.items():
            for index in range(len(cell)):
                item = cell[(index + number) % len(cell)]
                row = {"arm": arm, "width": width, "replicates": count, "system": item.system}
                rows.append(row | {"round": number, "ms": item.sample()})
        log.info("round %d of %d: %.0f s", number + 1, repeats, time.perf_counter() - start)
    return pd.DataFrame(rows), pd.DataFrame(missing, columns=["system", "arm", "width", "reason"])


def prepare(
    systems: Sequence[str], widths: Sequence[int], replicates: Sequence[int], seconds: float
) -> tuple[dict[tuple[str, int, int], list[Prepared]], list[tuple[str, str, int, str]]]:
    """Every system in every cell (arm, width, replicates), compiled and warm."""
    main, *others = replicates
    cells, missing = {}, []
    for arm in ARMS:
        for width in widths:
            for count in [main, *(others if width in REPLICATES_WIDTHS else [])]:
                cell = cells[arm, width, count] = []
                for name in systems:
                    system = SYSTEMS[name]
                    only_at_main = system.slow_to_prepare or not system.batched
                    if arm not in system.arms or (only_at_main and count != main):
                        continue
                    models = count if system.batched else 1
                    try:
                        cell.append(_prepare_one(name, arm, width, models, seconds))
                    except Exception as error:  # missing, no compiler, ...: the others go on
                        reason = f"{type(error).__name__}: {error}".splitlines()[0]
                        log.warning("%s not available: %s", name, reason)
                        missing.append((name, arm, width, reason))
    return cells, missing


def _prepare_one(name: str, arm: str, width: int, replicates: int, seconds: float) -> Prepared:
    start = time.perf_counter()
    run = SYSTEMS[name].prepare(arm, width, replicates)
    prepared = Prepared(name, arm, width, replicates, run)
    prepared.warm_up(seconds)
    took = time.perf_counter() - start
    log.info("%s, %s, width %d x %d: ready in %.1f s", name, arm, width, replicates, took)
    return prepared


def summarise(samples: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and system: the milliseconds' median, minimum and quartiles; and the ratio
    to `ours` round by round, its median and quartiles."""
    ours = samples[samples.system == "ours"].set_index([*CELL, "round"]).ms
    index = pd.MultiIndex.from_frame(samples[[*CELL, "round"]])
    samples = samples.assign(ratio=samples.ms.to_numpy() / ours.reindex(index).to_numpy())
    groups = samples.groupby([*CELL, "system"], sort=False)
    return groups.agg(
        samples=("ms", "size"),
        ms=("ms", "median"),
        ms_min=("ms", "min"),
        ms_low=("ms", lower),
        ms_high=("ms", upper),
        times_ours=("ratio", "median"),
        times_low=("ratio", lower),
        times_high=("ratio", upper),
    ).reset_index()


def lower(values: pd.Series) -> float:
    """The lower quartile."""
    return float(np.quantile(values, 0.25))


def upper(values: pd.Series) -> float:
    """The upper quartile."""
    return float(np.quantile(values, 0.75))
