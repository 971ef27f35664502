"""What scaling.py runs in processes of its own: `python -m benchmarks.jobs KIND OPTIONS`.

OPTIONS are JSON; the answer is one line of JSON. `core`, if given, is the core to stay on.
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

SNAPSHOTS = 24  # points of a run, as in config.yaml


def slopes(width: int, arm: str, repeats: int, seconds: float) -> dict:
    """Seconds of trainings that differ in the number of seeds, and in the number of epochs.

    Returns {"seeds": {count: [seconds, ...]}, "epochs": {count: [...]}}, alternating.
    """
    from benchmarks.systems import SYSTEMS

    runs = {count: SYSTEMS["ours"].prepare(arm, width, count) for count in (10, 20, 30)}
    runs[10](2)
    epochs = max(5, round(seconds / (_timed(runs[10], 5) / 5)))
    found = {"seeds": {c: [] for c in runs}, "epochs": {epochs * k: [] for k in (1, 2, 3)}}
    for _ in range(repeats):
        for count, times in found["seeds"].items():
            times.append(_timed(runs[count], epochs))
        for count, times in found["epochs"].items():
            times.append(_timed(runs[10], count))
    return found


def worker(width: int, arm: str) -> None:
    """Trains 10 replicates for as many epochs as each line of the input says; answers seconds."""
    from benchmarks.systems import SYSTEMS

    run = SYSTEMS["ours"].prepare(arm, width, 10)
    run(2)
    print("ready", flush=True)
    for line in sys.stdin:
        print(_timed(run, int(line)), flush=True)


def memory(width: int, seeds: int, epochs: int) -> dict:
    """Peak memory of a training job with its files, as the workflow runs it."""
    from benchmarks.problem import data_of, settings_of
    from bnstudy.experiment.block import BlockFiles, train_block
    from bnstudy.experiment.data import write_data
    from bnstudy.experiment.schedules import log_spaced_epochs

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder / "data.npz", data_of(range(seeds)))
        start = time.perf_counter()
        train_block(
            folder / "data.npz",
            BlockFiles(*(folder / file for file in BlockFiles._fields)),
            seeds=range(seeds),
            settings=settings_of("batch", width, epochs=epochs),
            code="",
            snapshot_epochs=log_spaced_epochs(epochs, SNAPSHOTS).tolist(),
        )
        return {"peak_mb": _peak_memory(), "seconds": time.perf_counter() - start}


def kernel() -> dict:
    """Seconds of training's first epoch, whose kernels (with BN: all there are) are compiled or
    loaded from NUMBA_CACHE_DIR, and of its next.

    Imports are not counted: the process has them in any case.
    """
    from benchmarks.systems import SYSTEMS

    run = SYSTEMS["ours"].prepare("batch", 10, 1)
    return {"first": _timed(run, 1), "next": _timed(run, 1)}


def _timed(run, epochs: int) -> float:
    start = time.perf_counter()
    run(epochs)
    return time.perf_counter() - start


def _peak_memory() -> float:
    """This process's peak resident memory in MB (10^6 bytes).

    Linux's getrusage counts the process that started this one as well, until it became this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(n for n in status.read_text().splitlines() if n.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    kind, options = sys.argv[1], json.loads(sys.argv[2])
    core = options.pop("core", None)
    if core is not None:
        os.sched_setaffinity(0, {core})

    import torch

    torch.set_num_threads(1)
    answer = {"slopes": slopes, "worker": worker, "memory": memory, "kernel": kernel}[kind]
    result = answer(**options)
    if result is not None:
        print(json.dumps(result))
