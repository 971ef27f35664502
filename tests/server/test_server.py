"""Tracking to a real MLflow server on a real PostgreSQL, which goes away: `make test-server`."""

import os
import subprocess
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from bnstudy.config import members
from tests.clone import Clone
from tests.server.services import MlflowServer, Postgres
from tests.services import wait_until

pytestmark = pytest.mark.services

LIMIT = 600  # seconds a command
TRACK = ["track", "--forcerun", "track_runs"]  # what `make track` does


class RemoteClone(Clone):
    """A small study that tracks to the server which the environment names."""

    def __init__(self, folder: Path, uri: str):
        super().__init__(folder)
        self.environment = os.environ | {"MLFLOW_TRACKING_URI": uri}
        self.settings["default_experiments"] = ["original", "grid", "depth", "digits"]
        self.settings["training"]["block_size"] = 20

    def start(self, *arguments: str) -> subprocess.Popen:
        with (self.folder / "snakemake.log").open("w") as log:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def finish(self, *arguments: str) -> int:
        """Run a command to its end; the exit status."""
        return self.start(*arguments).wait(LIMIT)

    def said(self) -> str:
        return (self.folder / "snakemake.log").read_text()


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as postgres:
        yield postgres


@pytest.fixture(scope="module")
def server(postgres, tmp_path_factory):
    """The server's process comes with the first test that needs it."""
    folder = tmp_path_factory.mktemp("server")
    return MlflowServer(postgres.uri, folder)


@pytest.fixture(scope="module")
def study(server, tmp_path_factory) -> RemoteClone:
    """A study that was made while nobody answered at the server's address."""
    study = RemoteClone(tmp_path_factory.mktemp("study"), server.uri)
    study.finish()
    return study


@pytest.fixture(scope="module")
def running(server):
    with server:
        yield server


def runs_in(server: MlflowServer, experiment: str) -> list:
    """All runs of an experiment that are not deleted."""
    client = MlflowClient(server.uri)
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id], max_results=1000) if found else []


def assert_whole(server: MlflowServer, study: RemoteClone) -> None:
    """Every run of the study is there once, with its values and curves; nothing seems to run."""
    stored = runs_in(server, study.settings["mlflow"]["experiment"])
    assert Counter(run.info.status for run in stored).keys() == {"FINISHED"}
    table = pd.read_csv(study.folder / "results/tables/runs.csv", keep_default_na=False)
    by_key = table.set_index("run_key")
    of_seeds = [run for run in stored if "run_key" in run.data.tags and "seed" in run.data.tags]
    assert sorted(run.data.tags["run_key"] for run in of_seeds) == sorted(table.run_key)
    client = MlflowClient(server.uri)
    for run in of_seeds:
        row = by_key.loc[run.data.tags["run_key"]]
        assert run.data.metrics["final_test_loss"] == row.final_test_loss
        for name in ("loss/train", "loss/test"):
            steps = [point.step for point in client.get_metric_history(run.info.run_id, name)]
            assert len(steps) > 10 and len(set(steps)) == len(steps)


def test_a_study_without_its_server_is_whole(study):
    tables, figures = (study.folder / "results" / name for name in ("tables", "figures"))
    made = {path.name for path in tables.glob("[!.]*")}
    drawn = {
        name
        for name in members.names("figures")
        if made.issuperset(members.declared("figures", name)["TABLES"])
    }
    assert "claims.csv" in made and {path.stem for path in figures.glob("*.pdf")} == drawn
    assert "make track" in study.said(), "what is missing is said, with the remedy"


def test_the_command_it_named_catches_up(study, running, postgres):
    before = study.results()
    assert study.finish(*TRACK) == 0, study.said()[-3000:]
    assert_whole(running, study)
    assert study.results() == before
    assert postgres.count("runs") >= len(runs_in(running, "tiny")) > 0, "it is in PostgreSQL"


def test_again_changes_nothing(study, running, postgres):
    before = postgres.count("metrics"), postgres.count("runs")
    assert study.finish(*TRACK) == 0, study.said()[-3000:]
    assert (postgres.count("metrics"), postgres.count("runs")) == before


@pytest.mark.parametrize("victim", ["server", "database"])
def test_gone_in_the_middle_of_tracking(study, running, postgres, victim):
    """The next command, once it is back, completes what was begun and adds the rest, once."""
    experiment = study.settings["mlflow"]["experiment"] = f"without its {victim}"
    before = study.results()
    service = {"server": running, "database": postgres}[victim]
    process = study.start(*TRACK)
    try:
        wait_until(
            lambda: process.poll() is not None or len(runs_in(running, experiment)) >= 5,
            "the first runs",
            LIMIT,
        )
    finally:
        service.kill()
    process.wait(LIMIT)
    service.start()
    assert "make track" in study.said(), "what is missing is said, with the remedy"
    assert study.results() == before
    begun = len(runs_in(running, experiment))
    assert 5 <= begun < len(pd.read_csv(study.folder / "results/tables/runs.csv")), "in the middle"
    assert study.finish(*TRACK) == 0, study.said()[-3000:]
    assert_whole(running, study)
