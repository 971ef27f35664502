"""`python -m benchmarks.gpu`: model-epochs per second of a study on a GPU, and of one CPU core.

Writes results/gpu.csv here and the table of docs/gpu.md. Replicates train side by side in one
process, as in a study with `training.device: cuda`; an epoch is a full-batch step of Adam and a
test evaluation, as in the other benchmarks. PyTorch: its own kernels instead of ours, recorded as a
CUDA graph too. Times are medians of several runs, synchronised, after compilation.

The share of the peak counts what our kernel executes, a fused multiply-add as two operations, and
comparisons, integers and Adam as none; the peak is that of the double-precision units at their
highest clock, which is known here for some generations only.
"""

import math
import statistics
import time
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from benchmarks.problem import BATCH_NORM, LEARNING_RATE, TEST_SIZE, TRAIN_SIZE, data_of
from bnstudy.experiment.evaluators import Objective, plain_objective
from bnstudy.experiment.layers import build_network
from bnstudy.experiment.training import Training, check_device
from bnstudy.files import atomic, read_csv, write_csv
from bnstudy.report.readme import filled

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "gpu.md"
# operations for a sample and unit: affine map 6, tanh 25, outputs 6; back 21
FORWARD, BACK = 37, 21
UNITS = {(7, 0): 32, (8, 0): 32, (9, 0): 64}  # double-precision units of a multiprocessor
OURS, PYTORCH = "bnstudy", "PyTorch"
CELLS = [  # arm, width, replicates, by; PyTorch's arrays for 10,000 take over 100 GB
    *(("none", 300, count, OURS) for count in (10, 100, 1000, 10_000)),
    *(("none", 300, count, PYTORCH) for count in (10, 100, 1000)),
    ("batch", 300, 1000, OURS),
    ("batch", 300, 1000, PYTORCH),
    *((arm, width, 1000, OURS) for width in (10, 30, 100, 1000) for arm in ("none", "batch")),
]


def training(arm: str, width: int, replicates: int, device: str, by: str) -> Training:
    """At its start."""
    seeds = range(replicates)
    data = data_of(seeds)
    settings = {"batch_norm": BATCH_NORM}
    network = build_network(arm, width, seeds, torch.from_numpy(data.train_inputs), settings)
    objective: Objective | None = plain_objective if by == PYTORCH else None
    options = {"learning_rate": LEARNING_RATE, "device": device, "objective": objective}
    return Training(network, data, **options)


def seconds_an_epoch(training: Training, seconds: float = 1.0, repeats: int = 5) -> float:
    """The median of `repeats` times; they take `seconds` together."""
    for _ in range(5):  # compilation, warm-up and recording of the graph
        training.epoch()
    epochs = max(1, round(seconds / repeats / measured(training, 2)))
    return statistics.median(measured(training, epochs) for _ in range(repeats))


def measured(training: Training, epochs: int) -> float:
    """Seconds an epoch takes, over some."""
    wait()
    start = time.perf_counter()
    losses: list[Tensor] = [training.epoch().test for _ in range(epochs)]
    assert bool(losses[-1].isfinite().all())  # it waits as well
    return (time.perf_counter() - start) / epochs


def wait() -> None:
    """For the GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak() -> float:
    """Double-precision operations a second, or NaN for a card of which the units are not known."""
    from numba import cuda

    card = cuda.get_current_device()
    units = UNITS.get(card.compute_capability, float("nan"))
    return card.MULTIPROCESSOR_COUNT * units * 2 * card.CLOCK_RATE * 1e3


def main() -> None:
    """Measure, write, print."""
    check_device("cuda")
    torch.set_num_threads(1)
    core = {
        (arm, width): 10 / seconds_an_epoch(training(arm, width, 10, "cpu", OURS))
        for arm, width in {(arm, width) for arm, width, *_ in CELLS}
    }
    rows = []
    for arm, width, replicates, by in CELLS:
        job = training(arm, width, replicates, "cuda", by)
        rate = replicates / seconds_an_epoch(job)
        del job
        torch.cuda.empty_cache()
        work = width * ((FORWARD + BACK) * TRAIN_SIZE + FORWARD * TEST_SIZE)
        rows.append(
            {
                "arm": arm,
                "width": width,
                "replicates": replicates,
                "by": by,
                "model_epochs_per_second": rate,
                "times_one_core": rate / core[arm, width],
                "share_of_peak": rate * work / peak() if by == OURS else float("nan"),
            }
        )
        print(rows[-1], flush=True)
    write_csv(RESULTS / "gpu.csv", pd.DataFrame(rows).assign(card=torch.cuda.get_device_name()))
    write_page()


def write_page() -> None:
    """The table in docs/gpu.md, from results/gpu.csv."""
    text = filled(PAGE.read_text(), {"measured": page_table(read_csv(RESULTS / "gpu.csv"))})
    with atomic(PAGE) as path:
        path.write_text(text)


def page_table(table: pd.DataFrame) -> str:
    """Model-epochs per second in thousands, as times one CPU core, and the share of the peak."""
    lines = [
        "| arm | width | networks | by | thousands a second | × one core | share of the peak |"
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for row in table.itertuples():
        share = "" if math.isnan(row.share_of_peak) else f"{row.share_of_peak:.0%}"
        lines.append(
            f"| {row.arm} | {row.width} | {row.replicates:,} | {row.by} | "
            f"{row.model_epochs_per_second / 1e3:,.0f} | {row.times_one_core:.0f} | {share} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
