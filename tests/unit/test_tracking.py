"""Tracking: what the files say is in MLflow, once, whatever happens on the way."""

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bnstudy import tracking
from bnstudy.files import read_csv, write_csv, write_json
from bnstudy.measures import log_spaced_epochs
from bnstudy.tracking import MissingRecord, MlflowClient, TrackingUnavailable, track

EPOCHS = 400
POINTS = 40
SEEDS = (0, 1000, 1001)
ARMS = ("batch", "none")
WIDTH = 300
DIVERGED = ("none", 1001)

# Tracks the study in the current folder; with an argument, dies by SIGKILL at that SQL statement.
PROGRAM = """
import os, signal, sys
from pathlib import Path
import sqlalchemy
from bnstudy.files import read_csv
from bnstudy.tracking import track

left = int(sys.argv[1]) if len(sys.argv) > 1 else -1

@sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute")
def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

records = sorted(Path().glob("results/training/*/*/*/record.json"))
track(
    read_csv("runs.csv"), "curves.parquet", records, "sqlite:///mlflow.db", "study", Path.cwd(), 40
)
"""


def key(arm: str, seed: int, version: str) -> str:
    return f"{arm}-w{WIDTH}-s{seed}-{version}"


def make_curves(arm: str, seed: int) -> pd.DataFrame:
    """Curves of one run; those of the diverged one end in inf and NaN."""
    rng = np.random.default_rng([seed, len(arm)])
    train = np.exp(rng.normal(size=EPOCHS)) / np.arange(1, EPOCHS + 1)
    if (arm, seed) == DIVERGED:
        train[200:300], train[300:] = np.inf, np.nan
    return pd.DataFrame(
        {
            "arm": arm,
            "width": WIDTH,
            "seed": seed,
            "epoch": np.arange(EPOCHS),
            "train_loss": train,
            "test_loss": 1.3 * train,
        }
    )


def make_row(arm: str, seed: int, version: str) -> dict:
    """A line of runs.csv."""
    diverged = (arm, seed) == DIVERGED
    final = np.inf if diverged else 0.1 + seed / 3
    return {
        "run_key": key(arm, seed, version),
        "arm": arm,
        "width": WIDTH,
        "seed": seed,
        "in_grid": seed != 0,
        "status": "diverged" if diverged else "finished",
        "final_train_loss": final,
        "final_test_loss": 2 * final,
        "last_train_loss": final,
        "last_test_loss": 2 * final,
        "epochs_to_0.2258": 17 + seed,
        "reached_0.2258": not diverged,
        "seconds": 7.0 / 3,
    }


def make_record(arm: str, seeds: list[int], version: str) -> dict:
    """A block's record."""
    settings = {
        "dataset": {"train_size": 1000, "ranges": {"r": [-1.0, 1.0]}},
        "training": {"epochs": EPOCHS, "learning_rate": 0.001},
    }
    if arm == "batch":
        settings["batch_norm"] = {"momentum": 0.9}
    return {
        "arm": arm,
        "width": WIDTH,
        "seeds": seeds,
        "run_keys": {str(seed): key(arm, seed, version) for seed in seeds},
        "settings": settings,
        "code_digest": f"digest of code {version}",
        "dataset_digests": {str(seed): f"digest of data {seed}" for seed in seeds},
        "started_at": "2026-11-24T00:30:00+00:00",
        "finished_at": "2026-11-24T00:31:10.500000+00:00",
        "seconds": 70.5,
        "threads": 1,
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "machine": {"processor": "a processor", "system": "Linux"},
    }


def make_study(folder: Path, version: str = "a1") -> Path:
    """The files of a study that the pipeline would have written to `folder`."""
    rows = [make_row(arm, seed, version) for arm in ARMS for seed in SEEDS]
    write_csv(folder / "runs.csv", pd.DataFrame(rows))
    curves = pd.concat([make_curves(arm, seed) for arm in ARMS for seed in SEEDS])
    curves.to_parquet(folder / "curves.parquet", index=False)
    for arm in ARMS:
        for block in ([0], [1000, 1001]):
            place = f"results/training/{arm}/width_{WIDTH}/seeds_{block[0]}/record.json"
            write_json(folder / place, make_record(arm, block, version))
    return folder


def records(folder: Path) -> list[Path]:
    return sorted(folder.glob("results/training/*/*/*/record.json"))


def track_study(folder: Path, uri: str = "sqlite:///mlflow.db", **changes) -> dict:
    arguments = {"runs": read_csv(folder / "runs.csv"), "records": records(folder), **changes}
    return track(
        curves=folder / "curves.parquet",
        tracking_uri=uri,
        experiment="study",
        study_directory=folder,
        curve_points=POINTS,
        **arguments,
    )


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def runs_of(folder: Path) -> list:
    client = client_of(folder)
    return client.search_runs([client.get_experiment_by_name("study").experiment_id])


def rows_of(folder: Path) -> int:
    """Rows of metrics in the database, those of deleted runs too."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        return database.execute("select count(*) from metrics").fetchone()[0]


def assert_whole(folder: Path) -> None:
    """Every run of the tables is in MLflow exactly once, with all that the files say of it."""
    table = read_csv(folder / "runs.csv").set_index("run_key")
    runs = runs_of(folder)
    assert sorted(run.data.tags["run_key"] for run in runs) == sorted(table.index)
    client = client_of(folder)
    for run in runs:
        row = table.loc[run.data.tags["run_key"]]
        assert run.info.status == {"finished": "FINISHED", "diverged": "FAILED"}[row["status"]]
        finals = row.drop(["arm", "width", "seed", "in_grid", "status"]).astype(float)
        finals = finals[np.isfinite(finals)]
        assert {name: run.data.metrics[name] for name in finals.index} == finals.to_dict()
        epochs = log_spaced_epochs(EPOCHS, POINTS)
        curves = make_curves(row["arm"], row["seed"]).set_index("epoch").loc[epochs]
        for name, column in (("loss/train", "train_loss"), ("loss/test", "test_loss")):
            history = client.get_metric_history(run.info.run_id, name)
            expected = curves[column][np.isfinite(curves[column])].to_dict()
            assert {point.step: point.value for point in history} == expected
            assert len(history) == len(expected)
        assert len(run.data.metrics) == len(finals) + 2
        assert run.data.params["training.epochs"] == str(EPOCHS)


def program(folder: Path, *arguments: int) -> subprocess.Popen:
    """The tracking program, started in `folder`."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    source = Path(tracking.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture(autouse=True)
def no_server_of_this_person(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory) -> tuple[Path, dict]:
    """A study tracked into a fresh database, and the receipt. Not to be changed: copy it."""
    folder = make_study(tmp_path_factory.mktemp("tracked"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return folder, track_study(folder)


@pytest.fixture
def study(tracked, tmp_path, monkeypatch) -> Path:
    """A copy of the tracked study; the current folder."""
    folder = tmp_path / "study"
    shutil.copytree(tracked[0], folder)
    monkeypatch.chdir(folder)
    return folder


def test_a_fresh_database_holds_every_run_whole(tracked):
    folder, receipt = tracked
    assert_whole(folder)
    assert {name: receipt[name] for name in ("created", "completed", "updated", "total")} == {
        "created": 6,
        "completed": 0,
        "updated": 0,
        "total": 6,
    }
    assert receipt["ui"].startswith(f"#/experiments/{receipt['experiment_id']}/runs?")
    assert json.dumps(receipt)
    assert sorted(path.name for path in folder.glob("mlflow.db*")) == [
        "mlflow.db",
        "mlflow.db.lock",
    ]


def test_a_run_says_what_it_is(tracked):
    folder, _ = tracked
    run = {run.data.tags["run_key"]: run for run in runs_of(folder)}[key("batch", 1000, "a1")]
    assert run.info.run_name == "batch w300 s1000"
    assert run.data.params == {
        "arm": "batch",
        "width": "300",
        "seed": "1000",
        "dataset.train_size": "1000",
        "dataset.ranges.r": "[-1.0, 1.0]",
        "training.epochs": "400",
        "training.learning_rate": "0.001",
        "batch_norm.momentum": "0.9",
    }
    expected = {
        "arm": "batch",
        "width": "300",
        "seed": "1000",
        "study": "study",
        "in_grid": "true",
        "superseded": "false",
        "code_digest": "digest of code a1",
        "dataset_digest": "digest of data 1000",
        "machine": "a processor, Linux",
        "versions": "python 3.11.7, torch 2.13.0",
        "mlflow.source.type": "LOCAL",
    }
    assert expected.items() <= run.data.tags.items()
    assert run.data.tags["mlflow.user"]
    assert run.info.end_time - run.info.start_time == 70_500
    steps = client_of(folder).get_metric_history(run.info.run_id, "loss/train")
    times = [point.timestamp for point in sorted(steps, key=lambda point: point.step)]
    assert times == sorted(times)
    assert run.info.start_time < times[0] < times[-1] == run.info.end_time


def test_the_experiment_explains_itself_and_keeps_artifacts_in_the_study(tracked):
    folder, _ = tracked
    experiment = client_of(folder).get_experiment_by_name("study")
    assert "epochs_to_X" in experiment.tags["mlflow.note.content"]
    assert experiment.artifact_location == (folder / "mlruns" / "study").as_uri()


def test_a_diverged_run_has_failed_and_names_what_is_not_finite(tracked):
    folder, _ = tracked
    run = {run.data.tags["run_key"]: run for run in runs_of(folder)}[key(*DIVERGED, "a1")]
    assert run.info.status == "FAILED"
    assert "final_train_loss" not in run.data.metrics
    assert "final_train_loss = inf" in run.data.tags["not_finite"]
    assert all(abs(value) < 1e300 for value in run.data.metrics.values())


def test_a_second_call_changes_nothing(study, monkeypatch):
    before = rows_of(study)
    monkeypatch.setattr(tracking.pq, "read_table", None)  # it does not even read the curves
    receipt = track_study(study)
    assert (receipt["created"], receipt["already_there"], receipt["total"]) == (0, 6, 6)
    assert rows_of(study) == before
    assert_whole(study)


def test_a_person_s_description_stays(study):
    client = client_of(study)
    experiment = client.get_experiment_by_name("study").experiment_id
    client.set_experiment_tag(experiment, "mlflow.note.content", "mine")
    track_study(study)
    assert client.get_experiment(experiment).tags["mlflow.note.content"] == "mine"


def test_deleted_runs_and_experiments_come_back(study):
    client = client_of(study)
    client.delete_run(runs_of(study)[0].info.run_id)
    assert track_study(study)["created"] == 1
    client.delete_experiment(client.get_experiment_by_name("study").experiment_id)
    track_study(study)
    assert_whole(study)


def test_a_deleted_database_is_rebuilt_even_beside_the_leftovers_of_a_killed_process(study):
    (study / "mlflow.db").unlink()
    for name in ("mlflow.db-journal", "mlflow.db.new", "mlflow.db.new-journal"):
        (study / name).write_bytes(b"half of something")
    assert track_study(study)["created"] == 6
    assert_whole(study)
    assert sorted(path.name for path in study.glob("mlflow.db*")) == ["mlflow.db", "mlflow.db.lock"]


def test_killed_at_any_moment_then_run_again(study):
    """SIGKILL at an SQL statement of the migrations, then twice amid the runs."""
    (study / "mlflow.db").unlink()
    rng = random.Random(20220629)
    for low, high in ((5, 1700), (1730, 1830), (20, 90)):  # 1716 for the migrations, 36 a run
        process = program(study, rng.randrange(low, high))
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, errors
    receipt = track_study(study)
    assert receipt["created"] + receipt["completed"] + receipt["already_there"] == 6
    assert_whole(study)
    assert rows_of(study) == sum(len(history(study, run)) for run in runs_of(study))


def history(folder: Path, run) -> list:
    client = client_of(folder)
    metrics = run.data.metrics
    return [p for name in metrics for p in client.get_metric_history(run.info.run_id, name)]


@pytest.mark.parametrize("method", ["log_batch", "set_terminated"])
def test_an_unfinished_run_is_completed(study, monkeypatch, method):
    """A call that ended between creating a run and its last word leaves it to the next call."""
    (study / "mlflow.db").unlink()

    def fail(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, method, fail)
        track_study(study)
    (unfinished,) = runs_of(study)
    assert unfinished.info.status == "RUNNING"
    receipt = track_study(study)
    assert (receipt["created"], receipt["completed"]) == (5, 1)
    assert_whole(study)
    assert unfinished.info.run_id in {run.info.run_id for run in runs_of(study)}


def test_an_unfinished_run_of_another_training_is_replaced(study):
    client = client_of(study)
    run = runs_of(study)[0]
    tags = {"run_key": run.data.tags["run_key"]}
    client.delete_run(run.info.run_id)
    client.create_run(run.info.experiment_id, start_time=1, tags=tags)  # other times: retrained
    assert track_study(study)["created"] == 1
    assert_whole(study)


def test_two_at_once(study):
    (study / "mlflow.db").unlink()
    processes = [program(study), program(study)]
    for process in processes:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    assert_whole(study)
    assert len(runs_of(study)) == 6


def test_of_two_runs_with_one_key_the_complete_one_stays(study):
    """As two machines with one server, which hold different locks, might leave it."""
    run = runs_of(study)[0]
    client_of(study).create_run(run.info.experiment_id, tags={"run_key": run.data.tags["run_key"]})
    track_study(study)
    assert_whole(study)
    assert run.info.run_id in {run.info.run_id for run in runs_of(study)}


def test_other_settings_make_new_runs_and_mark_the_superseded(study):
    make_study(study, version="b2")
    receipt = track_study(study)
    assert (receipt["created"], receipt["superseded"]) == (6, 6)
    marks = {run.data.tags["run_key"]: run.data.tags["superseded"] for run in runs_of(study)}
    assert marks == {
        key(arm, seed, version): superseded
        for arm in ARMS
        for seed in SEEDS
        for version, superseded in (("a1", "true"), ("b2", "false"))
    }
    make_study(study, version="a1")  # and back again
    assert track_study(study)["created"] == 0
    marks = {run.data.tags["run_key"]: run.data.tags["superseded"] for run in runs_of(study)}
    assert (marks[key("none", 0, "a1")], marks[key("none", 0, "b2")]) == ("false", "true")


def test_another_analysis_updates_the_final_metrics_only(study):
    before = rows_of(study)
    table = read_csv(study / "runs.csv")
    table["final_test_loss"] /= 2
    table["epochs_to_1.244"] = 5
    write_csv(study / "runs.csv", table)
    assert track_study(study)["updated"] == 6
    assert_whole(study)
    assert rows_of(study) == before + 11  # the diverged run's final loss was and is infinite
    assert track_study(study)["updated"] == 0


def test_a_run_without_a_record_is_named(study):
    others = [path for path in records(study) if "none/width_300/seeds_1000" not in str(path)]
    with pytest.raises(MissingRecord, match="none-w300-s1000-a1"):
        track_study(study, records=others)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_an_unreachable_server_is_reported_soon_with_uri_and_remedy(study, monkeypatch):
    port = free_port()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    began = time.monotonic()
    with pytest.raises(TrackingUnavailable, match="make track") as error:
        track_study(study, f"http://me:secret@127.0.0.1:{port}")
    assert time.monotonic() - began < 20
    assert f"http://***@127.0.0.1:{port} " in str(error.value)
    assert "secret" not in str(error.value)


def test_a_file_that_is_no_database_is_reported_with_the_remedy(study):
    (study / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(TrackingUnavailable, match="move it away"):
        track_study(study)


def test_the_environment_names_the_server(study, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    shutil.copy(study / "mlflow.db", study / "elsewhere.db")
    assert track_study(study)["tracking_uri"] == "sqlite:///elsewhere.db"


def test_no_git_no_commit(monkeypatch):
    assert set(tracking._origin()) >= {"mlflow.user", "mlflow.source.name"}
    monkeypatch.setenv("PATH", "")
    assert "mlflow.source.git.commit" not in tracking._origin()
