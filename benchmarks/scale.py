"""How far a study can grow: planning, tracking, browsing. `make bench-scale`, half an hour.

Planning: a dry run of 100 widths × 1,000 seeds × 2 arms, for several block sizes. Tracking: the
study of scale.yaml, 10,000 runs that are cheap to train, to a fresh SQLite database. Browsing:
what the UI asks a server for when it opens that experiment. Storage: what a finished study's runs
take on the disk. Writes one table for each to
results/scale/ here.
"""

import argparse
import json
import logging
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from bnstudy.files import read_csv, read_json, write_csv

HERE = Path(__file__).parent
ROOT = HERE.parent
BLOCK_SIZES = (1000, 100, 10)
LARGE = {
    "seeds": {"study": {"first": 1000, "count": 1000}},
    "experiments": {"grid": {"width": list(range(10, 1001, 10))}},
    "default_experiments": ["grid"],
}
ONE_JOB = "results/runs/none-w10/seeds_1000/record.json"  # as a cluster's node plans it
TABLES = ["curves", "runs"]  # and with `track_runs` all that is wanted: no statistics
EPOCHS = 10_000  # the original's

log = logging.getLogger(__name__)


class Cost(NamedTuple):
    """What a command took: seconds, processor seconds, peak memory in MB; and what it said."""

    seconds: float
    cpu: float
    peak_mb: float
    output: str


def cost(command: list[str], folder: Path) -> Cost:
    """Run `command` in `folder` and count its children in. CalledProcessError if it fails."""
    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        output.seek(0)
        said = output.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, said)
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000, said)


def snakemake(folder: Path, settings: Path, *arguments: str) -> Cost:
    """The workflow's command on the study of `settings`, in `folder`."""
    places = {
        "--snakefile": ROOT / "Snakefile",
        "--workflow-profile": ROOT / "profiles/default",
        "--configfile": settings,
    }
    options = [str(word) for option in places.items() for word in option]
    return cost([sys.executable, "-m", "snakemake", *options, *arguments], folder)


def planning(block_size: int) -> list[dict]:
    """A dry run of the large grid: jobs, seconds, memory."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "large.yaml"
        settings.write_text(yaml.safe_dump(LARGE | {"training": {"block_size": block_size}}))
        dry_run = ["--dry-run", "--quiet", "all", "--cores", "1"]
        plan = snakemake(Path(folder), settings, *dry_run)
        one = snakemake(Path(folder), settings, *dry_run, ONE_JOB)
    jobs = re.findall(r"^total +(\d+)$", plan.output, re.MULTILINE)[-1]
    detail = f"blocks of {block_size}"
    return [
        row("jobs", detail, int(jobs), ""),
        row("wall time", detail, plan.seconds, "s"),
        row("processor time", detail, plan.cpu, "s"),
        row("peak memory", detail, plan.peak_mb, "MB"),
        row("processor time of one job's plan", detail, one.cpu, "s"),
    ]


def tracking(folder: Path) -> list[dict]:
    """Train and collect the study of scale.yaml, then track it into a fresh database."""
    settings = HERE / "scale.yaml"
    snakemake(folder, settings, "--cores", str(os.cpu_count()), "--until", *TABLES)
    runs = len(read_csv(folder / "results/tables/runs.csv"))
    log.info("tracking %d runs", runs)
    again = ["--cores", "1", "--forcerun", "track_runs", "--until", "track_runs"]
    first = snakemake(folder, settings, *again)
    second = snakemake(folder, settings, *again)
    database, curves = (
        (folder / name).stat().st_size for name in ("mlflow.db", "results/tables/curves.parquet")
    )
    artifacts = sum(p.stat().st_size for p in (folder / "mlruns").rglob("*") if p.is_file())
    return [
        row("runs", "", runs, ""),
        row("wall time", "fresh database", first.seconds, "s"),
        row("processor time", "fresh database", first.cpu, "s"),
        row("peak memory", "fresh database", first.peak_mb, "MB"),
        row("wall time", "nothing new", second.seconds, "s"),
        row("database", "", database / 1e6, "MB"),
        row("artifacts", "", artifacts / 1e6, "MB"),
        row("table of curves", f"{runs} runs × 3000 epochs", curves / 1e6, "MB"),
    ]


def browsing(folder: Path) -> list[dict]:
    """What the UI asks for: the first hundred runs, those of a filter, the curves of ten."""
    with serving(folder) as uri:
        found = ask(uri, "experiments/get-by-name?experiment_name=scale")
        experiment = found["experiment"]["experiment_id"]
        search = {
            "experiment_ids": [experiment],
            "max_results": 100,
            "order_by": ["attributes.start_time DESC"],
        }
        filtered = search | {"filter": 'params.arm = "batch" and params.width = "5"'}
        by_metric = search | {"order_by": ["metrics.final_test_loss ASC"]}
        ids = [run["info"]["run_id"] for run in ask(uri, "runs/search", search)["runs"][:10]]
        query = "&".join(
            [*(f"run_ids={i}" for i in ids), "metric_key=loss/train", "max_results=320"]
        )
        curves = f"metrics/get-history-bulk-interval?{query}"
        return [
            row(*what, timed(lambda r=request: ask(uri, *r)), "s")
            for what, request in {
                ("first 100 runs", "newest first"): ("runs/search", search),
                ("first 100 runs", "of one cell"): ("runs/search", filtered),
                ("first 100 runs", "lowest test loss first"): ("runs/search", by_metric),
                ("a chart", "of ten runs"): (curves,),
            }.items()
        ]


def of_the_grid(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with the original's batches and epochs: what these take grows with the width."""
    return runs[(runs.batch_size == "full") & (runs.epochs == EPOCHS)]


def storage(results: Path) -> list[dict]:
    """kB per run of the files of a finished study's default experiments, by width."""
    table = read_csv(results / "tables/runs.csv")
    runs = of_the_grid(table)
    rows = []
    for name in ("curves.parquet", "snapshots.safetensors", "checkpoint.safetensors"):
        for width, cells in runs.groupby("width").cell.unique().items():
            folders = [f.parent for c in cells for f in (results / "runs" / c).rglob(name)]
            size = sum((folder / name).stat().st_size for folder in folders)
            seeds = sum(len(read_json(folder / "record.json")["seeds"]) for folder in folders)
            rows.append(row(name, f"width {width}", size / seeds / 1000, "kB per run"))
    for name in ("tables/curves.parquet", "tables/runs.csv"):
        size = (results / name).stat().st_size
        rows.append(row(name, "all runs", size / len(table) / 1000, "kB per run"))
    return rows


def timed(request: Callable[[], object]) -> float:
    """Median seconds of five requests."""
    seconds = []
    for _ in range(5):
        began = time.monotonic()
        request()
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """`mlflow server` on the folder's database; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"--port {port} --workers 1 --backend-store-uri sqlite:///mlflow.db".split()
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *options],
        cwd=folder,
        env=os.environ | quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        uri = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        yield uri
    finally:
        server.terminate()
        server.wait(20)


def ask(uri: str, path: str, body: dict | None = None) -> dict:
    """What the server answers to a request as the UI makes it."""
    data = None if body is None else json.dumps(body).encode()
    address = f"{uri}/ajax-api/2.0/mlflow/{path}"
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def row(quantity: str, detail: str, value: float, unit: str) -> dict:
    """One line of the table."""
    return {"quantity": quantity, "detail": detail, "value": float(f"{value:.4g}"), "unit": unit}


def main() -> None:
    """Measure, and write one table per part."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parts = ("planning", "tracking", "browsing", "storage")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--folder", type=Path, help="where the study of 10,000 runs is, or goes")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="a finished study's")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        measure = {
            "planning": lambda: [line for size in BLOCK_SIZES for line in planning(size)],
            "tracking": lambda: tracking(folder),
            "browsing": lambda: browsing(folder),
            "storage": lambda: storage(options.results),
        }
        for part in options.parts:
            log.info("%s", part)
            table = pd.DataFrame(measure[part]())
            write_csv(HERE / "results" / "scale" / f"{part}.csv", table)
            print(table.to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
