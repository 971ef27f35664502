"""Start MLflow's server for this study and say what to open.

Light: on loopback only, one worker, no job execution, no telemetry. Where the study is tracked to a
server that runs already, only the addresses are printed.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bnstudy.commands.progress import planned_study
from bnstudy.config.models import Study

LIGHT = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
PATIENCE = 120  # seconds to wait for the server


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the study is, and where to serve it."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), help="of the study")
    parser.add_argument("--port", type=int, default=5000)


def run(arguments: argparse.Namespace) -> int:
    """Serve the study until interrupted; SystemExit, with a remedy, if it cannot."""
    directory = arguments.directory.resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the server is stopped as well
    study = planned_study(directory)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or study.mlflow.tracking_uri
    if uri.startswith("http"):
        print(pages(uri.rstrip("/"), study))
        return 0
    with serving(uri, directory, arguments.port) as (address, process):
        print(pages(address, study))
        print("Ctrl-C stops it.", flush=True)
        try:
            process.wait()
        except KeyboardInterrupt:
            return 0
    sys.exit(f"MLflow's server ended by itself; see {directory / 'logs' / 'ui.log'}")


@contextmanager
def serving(uri: str, directory: Path, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A healthy server for the database `uri` of the study in `directory`: its address, itself."""
    from bnstudy.tracking.server import database_of, full_uri  # mlflow: seconds to import

    database = database_of(uri, directory)
    if database is not None and not database.exists():
        sys.exit(f"there is no {database} yet: `make` or `make track` makes it")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            sys.exit(
                f"port {port} is taken (another `make ui`?): stop that, or name another port: "
                f"make ui PORT={port + 1}"
            )
    log = directory / "logs" / "ui.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", full_uri(uri, directory)]
    command += ["--default-artifact-root", (directory / "mlruns").as_uri()]
    env = {**os.environ, **LIGHT}
    address = f"http://127.0.0.1:{port}"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=directory, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        _wait_until_healthy(address, process, log)
        yield address, process
    finally:
        _stop(process)


def pages(address: str, study: Study) -> str:
    """What to open on the server at `address`: table, charts, a run of the study's experiment."""
    from bnstudy.tracking import views
    from bnstudy.tracking.importer import MlflowClient

    client = MlflowClient(address)
    name, width = study.mlflow.experiment, study.analysis.primary.width
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return f"{address}\nThe experiment {name} is not there yet: `make track` makes it."
    links = views.links(experiment.experiment_id)
    rows = {"What it is about, and all runs": links["start"]}
    rows |= {name: links[view] for view, name in views.NAMES.items()}
    cell = f"tags.arm = 'batch' and tags.width = '{width}'"
    where = f"{views.in_grid(study)} and tags.typical LIKE 'median%' and {cell}"
    for run in client.search_runs([experiment.experiment_id], where, max_results=1):
        page = views.page(experiment.experiment_id, run.info.run_id)
        rows[f"One run, {run.info.run_name}"] = page
    return "\n".join(f"{label}\n  {address}/{link}" for label, link in rows.items())


def _wait_until_healthy(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            sys.exit(f"MLflow's server did not start; see {log}")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except OSError:  # of which URLError is one
            time.sleep(0.3)
    sys.exit(f"MLflow's server does not answer after {PATIENCE} s; see {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and the workers that it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, how)
            process.wait(timeout=10)
