"""A small study that is started to be disturbed, and what must hold of it afterwards."""

import contextlib
import io
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import mlflow
import pandas as pd
import psutil

from bnstudy.commands.verify import damaged
from bnstudy.files import digests, read_csv, read_json, read_parquet
from tests.clone import Clone

HERE = Path(__file__).parent
SMALL = HERE / "small.yaml"
# A part of what the default target asks for, so that more faults fit the time: from the datasets to
# a page, two figures and MLflow, with all that lies between. Every table among them has a reader.
TARGETS = [
    *(f"results/datasets/article-plain/seeds_{start}.npz" for start in (10, 12)),
    *(
        f"results/runs/{arm}-w5-e500/seeds_{start}/record.json"
        for arm in ("none", "batch")
        for start in (10, 12)
    ),
    *(
        f"results/{file}"
        for arm in ("none", "batch")
        for file in (
            f"diagnostics/{arm}-w5-e500.parquet",
            f"diagnostics/{arm}-w5-e500-tuned-final-test-loss.parquet",
            f"tuning/{arm}-w5-e500-tuned-final-test-loss.json",
        )
    ),
    *(
        f"results/tables/{table}"
        for table in ("curves.parquet", "runs.csv", "gradients.csv", "digits.csv")
    ),
    "results/tables/significance.csv",
    *(f"results/figures/{figure}.pdf" for figure in ("loss_curves", "survival")),
    "results/claims.md",
    "results/explorer.html",
    "results/tracking/runs.json",
]


def heed_interrupts() -> None:
    """As in a terminal: what a shell starts in the background ignores them, its children too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def without_keys(results: dict[str, bytes]) -> dict[str, bytes]:
    """The same results without the runs' keys, which change with the code that trains."""
    runs = pd.read_csv(io.BytesIO(results["runs.csv"])).drop(columns="run_key")
    return results | {"runs.csv": runs.to_csv().encode()}


class Victim(Clone):
    """A small study that is started to be disturbed."""

    def __init__(self, folder: Path):
        super().__init__(folder, SMALL)

    def start(self, targets: Sequence[str] = TARGETS, **environment: str) -> subprocess.Popen:
        with (self.folder / "disturbed.log").open("w") as log:
            return subprocess.Popen(
                self.command(*targets),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
                start_new_session=True,
                preexec_fn=heed_interrupts,
            )

    def jobs(self, of: psutil.Process | None = None) -> list[psutil.Process]:
        """Processes that run a script of this study: those of one Snakemake, or any orphan too."""
        found = []
        with contextlib.suppress(psutil.Error):
            for process in of.children(recursive=True) if of else psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    command = " ".join(process.cmdline())
                    if f"{self.folder}/.snakemake/scripts" in command and "bash" not in command:
                        found.append(process)
        return found

    def disturb(self, way: str, jobs: int, seconds: float) -> bool:
        """Start, wait until so many jobs have started and so many seconds more, and strike in this
        way; False where that did no harm: the study was done before, or went on to its end."""
        process, seen = self.start(), set()
        snakemake = psutil.Process(process.pid)
        while process.poll() is None and len(seen) < jobs:
            seen |= {job.pid for job in self.jobs(snakemake)}
            time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        if process.poll() is not None:
            return False
        match way:
            case "job":
                for job in self.jobs(snakemake)[:1]:
                    job.kill()
            case "snakemake":
                process.kill()  # its jobs go on as orphans
            case "both":
                os.killpg(process.pid, signal.SIGKILL)
            case "interrupt":
                process.send_signal(signal.SIGINT)
            case "terminate":
                process.terminate()
        return process.wait(timeout=600) != 0

    def unlock(self) -> None:
        assert self.snakemake("--unlock").returncode == 0

    def go_on(self) -> None:
        """What the README says to do next: the same command; `--unlock` first where it asks."""
        result = self.snakemake(*TARGETS)
        if "Directory cannot be locked" in result.stderr:
            assert "--unlock" in result.stderr
            self.unlock()
            result = self.snakemake(*TARGETS)
        assert result.returncode == 0, result.stderr[-4000:]

    def rest(self) -> None:
        """Wait until orphans have ended."""
        while self.jobs():
            time.sleep(0.1)

    def check(self, undisturbed: dict[str, bytes], same_keys: bool = True) -> None:
        """Whole, identical to what an undisturbed study made, tidy, and once in MLflow."""
        self.rest()
        self.go_on()  # an orphan may have written since; else this does nothing
        results = self.results()
        if not same_keys:
            results, undisturbed = map(without_keys, (results, undisturbed))
        assert results.keys() == undisturbed.keys()
        assert {n for n in results if results[n] != undisturbed[n]} == set()
        hidden = [p for p in (self.folder / "results").rglob(".*") if p.is_file()]
        assert not [
            p for p in hidden if not p.name.startswith(".snakemake") and p.suffix != ".sha256"
        ]
        assert not list(damaged(self.folder / "results"))
        for record in (self.folder / "results/runs").rglob("record.json"):
            files = [p for p in record.parent.glob("[!.]*") if p != record]
            assert digests(files) == read_json(record)["files"]
            read_parquet(record.with_name("curves.parquet"))
        client = mlflow.MlflowClient(f"sqlite:///{self.folder}/mlflow.db")
        experiment = client.get_experiment_by_name("small")
        tracked = client.search_runs([experiment.experiment_id], max_results=1000)
        assert {run.info.status for run in tracked} == {"FINISHED"}
        keys = [run.data.tags["run_key"] for run in tracked if "run_key" in run.data.tags]
        trained = read_csv(self.folder / "results/tables/runs.csv").run_key
        assert len(set(keys)) == len(keys) and set(trained) <= set(keys)
