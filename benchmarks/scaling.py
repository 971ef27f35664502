"""How the cost grows, what two jobs make of two cores, memory, and the kernel's compilation."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd

log = logging.getLogger(__name__)

# width, seeds, epochs of the jobs whose peak memory is measured
MEMORY_JOBS = [(1000, 30, 10), (1000, 30, 60), (2, 30, 10_000), (2, 30, 100_000)]


def measure(cores: list[int], repeats: int) -> pd.DataFrame:
    """All of it: columns quantity, arm, width, detail, value, low, high (quartiles), unit.

    `cores`: those that this process may use; none where the system cannot say.
    """
    rows = [*kernel(), *slopes(cores, repeats), *two_jobs(cores, repeats), *memory(cores)]
    columns = ["quantity", "arm", "width", "detail", "value", "low", "high", "unit"]
    return pd.DataFrame(rows, columns=columns)


def slopes(cores: list[int], repeats: int) -> list[dict]:
    """Slope of log cost against log number of seeds, and of epochs; 1 is linear."""
    rows = []
    for width in (10, 300):
        for arm in ("none", "batch"):
            log.info("slopes at width %d, %s", width, arm)
            options = {"width": width, "arm": arm, "repeats": repeats, "seconds": 0.2}
            found = _run("slopes", options | _on(cores))
            for quantity, times in found.items():
                counts = np.log([int(count) for count in times])
                rounds = zip(*times.values(), strict=True)
                fits = [np.polyfit(counts, np.log(seconds), 1)[0] for seconds in rounds]
                detail = f"{' '.join(times)} {quantity}"
                rows.append(_row(f"slope in {quantity}", fits, "", arm, width, detail))
    return rows


def two_jobs(cores: list[int], repeats: int, width: int = 300, arm: str = "batch") -> list[dict]:
    """Throughput of two jobs at once, each on a core, over that of one alone."""
    if len(cores) < 2:
        log.warning("two jobs: not measured, only one core to be had")
        return []
    log.info("two jobs")
    workers = [_worker(width, arm, core) for core in cores[-2:]]
    try:
        epochs = max(5, round(1.0 / (_seconds([workers[0]], 5)[0] / 5)))
        ratios = []
        for _ in range(repeats):
            alone = [_seconds([worker], epochs)[0] for worker in workers]
            both = _seconds(workers, epochs)
            ratios.append(sum(1 / t for t in both) / np.mean([1 / t for t in alone]))
    finally:
        for process in workers:
            process.stdin.close()
            process.wait()
    return [_row("two jobs over one", ratios, "", arm, width, "10 replicates each")]


def memory(cores: list[int]) -> list[dict]:
    """Peak memory of training jobs; as many at once as there are cores, at most two."""
    log.info("memory")
    names = "width", "seeds", "epochs"
    jobs = [dict(zip(names, job, strict=True)) for job in MEMORY_JOBS]
    with ThreadPoolExecutor(min(2, max(1, len(cores)))) as pool:
        found = list(pool.map(lambda job: _run("memory", job), reversed(jobs)))[::-1]
    return [
        _row("peak memory", [answer["peak_mb"]], "MB", "batch", width, f"{seeds} seeds, {n} epochs")
        for (width, seeds, n), answer in zip(MEMORY_JOBS, found, strict=True)
    ]


def kernel() -> list[dict]:
    """Seconds that the kernel's first call takes on a new machine, and in every process after."""
    log.info("the kernel's compilation")
    with tempfile.TemporaryDirectory() as folder:
        cold, warm = (_run("kernel", {}, NUMBA_CACHE_DIR=folder) for _ in range(2))
    return [
        _row("kernel, cold", [cold["first"]], "s", "", None, "compiled"),
        _row("kernel, warm", [warm["first"]], "s", "", None, "from the cache"),
    ]


def _row(quantity, values, unit, arm, width, detail) -> dict:
    low, value, high = np.quantile(values, [0.25, 0.5, 0.75])
    row = {"quantity": quantity, "arm": arm, "width": width, "detail": detail}
    return row | {"value": value, "low": low, "high": high, "unit": unit}


def _on(cores: list[int]) -> dict:
    """Stay on the last core, as speed.py does: the first is the busiest with the system's work."""
    return {"core": cores[-1]} if cores else {}


def _command(kind: str, options: dict) -> list[str]:
    return [sys.executable, "-m", "benchmarks.jobs", kind, json.dumps(options)]


def _run(kind: str, options: dict, **environment: str) -> dict:
    """A job's answer. CalledProcessError where it failed; its errors are on the terminal."""
    command, changed = _command(kind, options), os.environ | environment
    answer = subprocess.run(command, env=changed, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(answer.stdout.splitlines()[-1])


def _worker(width: int, arm: str, core: int) -> subprocess.Popen:
    command = _command("worker", {"width": width, "arm": arm, "core": core})
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, **pipes)
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("a worker did not start; its errors are on the terminal")
    return process


def _seconds(workers: list[subprocess.Popen], epochs: int) -> list[float]:
    """Each worker's seconds for `epochs`, all started together."""
    for process in workers:
        process.stdin.write(f"{epochs}\n")
        process.stdin.flush()
    return [float(process.stdout.readline()) for process in workers]
