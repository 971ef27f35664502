"""What the other settings of a training cost: minibatches, dropout, schedules, optimizers, arms.

Each variant is measured against its baseline, as the systems in speed.py are: on one core, in
rounds, in rotating order. An arm that is no affine map of the inputs is trained by PyTorch; layer
norm stands for those, against the forms in which one would write it in PyTorch.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from benchmarks.problem import TRAIN_SIZE, Prepare
from benchmarks.speed import Prepared, lower, upper
from benchmarks.systems import batched, compiled, functional, modules, ours

log = logging.getLogger(__name__)

LAYER_NORM = "layer-norm"


@dataclass(frozen=True)
class Variant:
    """`name`: what is measured; `baseline`: the variant that it is compared with, maybe itself.

    `settings`: what is not the article's. `prepare`: the system that trains it; one that trains a
    model after another (`alone`) is measured with one.
    """

    name: str
    baseline: str
    arm: str
    settings: dict[str, Any] = field(default_factory=dict)
    prepare: Prepare = ours.prepare
    alone: bool = False

    def ready(self, width: int, replicates: int, seconds: float) -> Prepared:
        """Compiled and warm."""
        models = 1 if self.alone else replicates
        run = self.prepare(self.arm, width, models, **self.settings)
        prepared = Prepared(self.name, self.arm, width, models, run)
        prepared.warm_up(seconds)
        return prepared


VARIANTS = [
    Variant("none", "none", "none"),
    Variant("none, batches of 50", "none", "none", {"batch_size": 50}),
    Variant("dropout", "none", "dropout"),
    Variant("batch", "batch", "batch"),
    Variant("batch, batches of 50", "batch", "batch", {"batch_size": 50}),
    Variant("batch, cosine", "batch", "batch", {"schedule": "cosine"}),
    Variant("batch, sgd", "batch", "batch", {"optimizer": "sgd"}),
    Variant("centred", "batch", "centred"),
    Variant("scaled", "batch", "scaled"),
    Variant("weight-norm", "batch", "weight-norm"),
    Variant(LAYER_NORM, LAYER_NORM, LAYER_NORM),
    Variant("layer-norm, PyTorch batched", LAYER_NORM, LAYER_NORM, prepare=batched.prepare),
    Variant("layer-norm, torch.func vmap", LAYER_NORM, LAYER_NORM, prepare=functional.prepare),
    Variant("layer-norm, torch.compile", LAYER_NORM, LAYER_NORM, prepare=compiled.prepare),
    Variant(
        "layer-norm, PyTorch one by one",
        LAYER_NORM,
        LAYER_NORM,
        prepare=modules.prepare,
        alone=True,
    ),
]


def measure(
    variants: Sequence[Variant], width: int, replicates: int, repeats: int, seconds: float
) -> pd.DataFrame:
    """One row per variant, see `summarise`; what is not available is left out, with a warning."""
    ready = []
    for variant in variants:
        start = time.perf_counter()
        try:
            ready.append(variant.ready(width, replicates, seconds))
        except Exception as error:  # no compiler, ...: the others go on
            log.warning("%s not available: %s", variant.name, str(error).splitlines()[:1])
            continue
        log.info("%s: ready in %.1f s", variant.name, time.perf_counter() - start)
    rows = []
    for number in range(repeats):
        for index in range(len(ready)):
            item = ready[(index + number) % len(ready)]
            rows.append({"variant": item.system, "round": number, "ms": item.sample()})
    summary = summarise(pd.DataFrame(rows), {v.name: v.baseline for v in variants})
    return summary.assign(width=width, replicates=replicates)


def summarise(samples: pd.DataFrame, baselines: dict[str, str]) -> pd.DataFrame:
    """Milliseconds per model-epoch, their median and quartiles; nanoseconds per sample and epoch;
    and the ratio to the baseline round by round, its median and quartiles."""
    by_round = samples.pivot(index="round", columns="variant", values="ms")
    rows = []
    for name in samples.variant.unique():
        ms, ratio = by_round[name], by_round[name] / by_round[baselines[name]]
        rows.append(
            {
                "variant": name,
                "baseline": baselines[name],
                "samples": len(ms),
                "ms": ms.median(),
                "ms_low": lower(ms),
                "ms_high": upper(ms),
                "ns_per_sample": 1e6 * ms.median() / TRAIN_SIZE,
                "ratio": ratio.median(),
                "ratio_low": lower(ratio),
                "ratio_high": upper(ratio),
            }
        )
    return pd.DataFrame(rows)
