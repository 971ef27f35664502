"""Tracking: what the files say is in MLflow, once, whatever happens on the way."""

import base64
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
import urllib.request
import zlib
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from bnstudy.commands import ui
from bnstudy.commands.watch import Watcher
from bnstudy.config import members
from bnstudy.config.models import Study
from bnstudy.config.plan import Plan
from bnstudy.experiment.data import read_data
from bnstudy.experiment.layers import build_network
from bnstudy.experiment.schedules import log_spaced_epochs
from bnstudy.files import read_json, read_parquet, read_tensors, write_csv, write_json
from bnstudy.tracking import plan as tracking_plan
from bnstudy.tracking import views
from bnstudy.tracking.artifacts import load_model, model_of, network_of
from bnstudy.tracking.importer import MlflowClient, origin, track_if_available
from bnstudy.tracking.plan import MissingRecord
from bnstudy.tracking.server import TrackingUnavailable
from tests.small_study import (
    ARMS,
    DIVERGED,
    EPOCHS,
    EXTENDED,
    POINTS,
    ROOT,
    SEEDS,
    STUDY_SEEDS,
    arguments_of,
    cell_of,
    collect,
    key,
    make_settings,
    make_study,
    records,
    table_of,
    track_study,
)

# Tracks the study in the current folder; with an argument, dies by SIGKILL at that SQL statement.
PROGRAM = """
import os, signal, sys
from pathlib import Path
import sqlalchemy
from bnstudy.tracking.importer import track
from tests.small_study import arguments_of

left = int(sys.argv[1]) if len(sys.argv) > 1 else -1

@sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute")
def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

track(**arguments_of(Path()))
"""


def client_of(folder: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")


def runs_of(folder: Path, level: str = "seed") -> list:
    client = client_of(folder)
    experiment = client.get_experiment_by_name("study").experiment_id
    return client.search_runs([experiment], f"tags.level = '{level}'")


def run_of(folder: Path, arm: str, seed: int):
    (run,) = [r for r in runs_of(folder) if r.data.tags["run_key"] == key(folder, arm, seed)]
    return run


def rows_of(folder: Path) -> int:
    """Rows of metrics in the database, those of deleted runs too."""
    with sqlite3.connect(folder / "mlflow.db") as database:
        return database.execute("select count(*) from metrics").fetchone()[0]


def artifact(folder: Path, run, name: str) -> Path:
    """A file of a run, where the local artifact store has it."""
    return folder / "mlruns" / "study" / run.info.run_id / "artifacts" / name


def curves_of(folder: Path, arm: str, seed: int) -> pd.DataFrame:
    """train_loss and test_loss of a run at the epochs that are logged."""
    paths = folder.glob(f"results/runs/{cell_of(arm)}/*/curves.parquet")
    table = pd.concat([read_parquet(path).to_pandas() for path in paths])
    table = table[(table.seed == seed) & table.epoch.isin(log_spaced_epochs(EPOCHS, POINTS))]
    return table.set_index("epoch")[["train_loss", "test_loss"]]


def assert_history(folder: Path, run, name: str, expected: pd.Series) -> None:
    history = client_of(folder).get_metric_history(run.info.run_id, name)
    finite = expected[np.isfinite(expected)]
    assert {point.step: point.value for point in history} == finite.to_dict()
    assert len(history) == len(finite)


def assert_whole(folder: Path) -> None:
    """Every run of the tables is in MLflow exactly once, with all that the files say of it."""
    table = table_of(folder).set_index("run_key")
    runs = runs_of(folder)
    assert sorted(run.data.tags["run_key"] for run in runs) == sorted(table.index)
    cells = {run.info.run_id: run for run in runs_of(folder, "cell")}
    assert len(cells) == 2
    for run in runs:
        row = table.loc[run.data.tags["run_key"]]
        assert run.info.status == {"finished": "FINISHED", "diverged": "FAILED"}[row["status"]]
        finals = row["final_train_loss":"seconds"].astype(float)
        finals = finals[np.isfinite(finals)]
        assert {name: run.data.metrics[name] for name in finals.index} == finals.to_dict()
        assert len(run.data.metrics) == len(finals) + 2
        curves = curves_of(folder, row["arm"], row["seed"])
        assert_history(folder, run, "loss/train", curves.train_loss)
        assert_history(folder, run, "loss/test", curves.test_loss)
        assert run.data.params["epochs"] == str(EPOCHS)
        parent = cells[run.data.tags["mlflow.parentRunId"]]
        assert parent.data.tags["arm"] == row["arm"]
        assert artifact(folder, run, "weights.safetensors").exists()
        assert len(run.inputs.dataset_inputs) == 1
        assert run.info.run_id in run.data.tags["mlflow.note.content"]
    for cell in cells.values():
        assert cell.info.status == "FINISHED" and artifact(folder, cell, "curves.png").exists()
    (study,) = [run for run in runs_of(folder, "study") if run.data.tags["superseded"] == "false"]
    assert study.info.status == "FINISHED" and artifact(folder, study, "claims.md").exists()


def program(folder: Path, *arguments: int) -> subprocess.Popen:
    """The tracking program, started in `folder`."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
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


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    """The same study trained by other code, not tracked."""
    return make_study(tmp_path_factory.mktemp("other"), code="other code")


@pytest.fixture(scope="module")
def tracked_extended(tmp_path_factory) -> Path:
    """A study whose two scopes are tracked, the default one first. Not to be changed: copy it."""
    folder = make_study(tmp_path_factory.mktemp("extended"), EXTENDED)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        track_study(folder)
        track_study(folder, scope=EXTENDED)
    return folder


def copy_of(tracked: Path, folder: Path) -> Path:
    """A copy of a tracked study: its artifacts are where the experiment says they are, so that
    the database is told of the new place."""
    shutil.copytree(tracked, folder)
    with sqlite3.connect(folder / "mlflow.db") as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(
                f"update {table} set {column} = replace({column}, ?, ?)",
                (str(tracked), str(folder)),
            )
    return folder


@pytest.fixture
def study(tracked, tmp_path, monkeypatch) -> Path:
    """A copy of the tracked study; the current folder."""
    folder = copy_of(tracked[0], tmp_path / "study")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def both(tracked_extended, tmp_path, monkeypatch) -> Path:
    """A copy of the study with both scopes; the current folder."""
    folder = copy_of(tracked_extended, tmp_path / "study")
    monkeypatch.chdir(folder)
    return folder


TOTAL = len(SEEDS) * len(ARMS) + len(ARMS) + 1


def test_a_fresh_database_holds_every_run_whole(tracked):
    folder, receipt = tracked
    assert_whole(folder)
    assert {name: receipt[name] for name in ("created", "completed", "updated", "total")} == {
        "created": TOTAL,
        "completed": 0,
        "updated": 0,
        "total": TOTAL,
    }
    assert json.dumps(receipt)
    assert sorted(path.name for path in folder.glob("mlflow.db*")) == [
        "mlflow.db",
        "mlflow.db.lock",
    ]


def test_a_run_says_what_it_is(tracked):
    folder, _ = tracked
    run = run_of(folder, "batch", 1000)
    described = map(read_json, records(folder))
    key = run.data.tags["run_key"]
    (record,) = [record for record in described if key in record["run_keys"].values()]
    assert run.info.run_name == "batch-w4-e60 s1000"
    params = {
        "cell": "batch-w4-e60",
        "arm": "batch",
        "width": "4",
        "seed": "1000",
        "epochs": "60",
        "learning_rate": "0.001",
        "batch_size": "full",
        "dataset.train_size": "30",
        "dataset.ranges.r": "[-1.0, 1.0]",
        "batch_norm.momentum": "0.9",
    }
    assert params.items() <= run.data.params.items()
    digest = record["dataset_digests"]["1000"]
    expected = {
        "level": "seed",
        "arm": "batch",
        "width": "4",
        "seed": "1000",
        "study": "study",
        "cell": "batch-w4-e60",
        "task": "article",
        "optimizer": "adam",
        "experiments": "grid",
        "superseded": "false",
        "code_digest": record["code_digest"],
        "dataset_digest": digest,
        "machine": ", ".join(record["machine"].values()),
        "mlflow.source.type": "LOCAL",
    }
    assert expected.items() <= run.data.tags.items()
    assert {"mlflow.user", "versions", "config_digest"} <= run.data.tags.keys()
    dataset = run.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("seed 1000", digest[:36])
    assert "results/datasets/article-plain/seeds_1000.npz" in dataset.source
    seconds = pd.Timestamp(record["finished_at"]) - pd.Timestamp(record["started_at"])
    assert run.info.end_time - run.info.start_time == seconds / pd.Timedelta("1ms")
    steps = client_of(folder).get_metric_history(run.info.run_id, "loss/train")
    times = [point.timestamp for point in sorted(steps, key=lambda point: point.step)]
    assert times == sorted(times)
    assert run.info.start_time <= times[0] < times[-1] == run.info.end_time


def test_a_parent_holds_the_medians_and_quartiles_of_its_seeds(tracked):
    folder, _ = tracked
    (cell,) = [run for run in runs_of(folder, "cell") if run.data.tags["arm"] == "batch"]
    grid = [seed for seed in SEEDS if seed in STUDY_SEEDS]
    curves = [curves_of(folder, "batch", seed).test_loss for seed in grid]
    by_epoch = pd.concat(curves, axis=1)
    for suffix, q in (("", 0.5), ("_q1", 0.25), ("_q3", 0.75)):
        assert_history(folder, cell, f"loss/test{suffix}", by_epoch.quantile(q, axis=1))
    table = table_of(folder)
    finals = table[(table.arm == "batch") & table.seed.isin(grid)].final_test_loss
    assert cell.data.metrics["final_test_loss"] == finals.min()  # the lower middle one of two
    assert cell.data.metrics["runs"] == len(grid) and cell.data.metrics["diverged"] == 0
    trained = table[table.arm == "batch"].seconds.sum()
    assert cell.info.end_time - cell.info.start_time == pytest.approx(1000 * trained, abs=1)
    children = {
        run.data.tags["seed"]
        for run in runs_of(folder)
        if run.data.tags["mlflow.parentRunId"] == cell.info.run_id
    }
    assert children == set(map(str, SEEDS))
    assert "Without" not in cell.data.tags["mlflow.note.content"]
    assert "curves.png" in cell.data.tags["mlflow.note.content"]


def test_a_parent_s_ratio_is_the_geometric_mean_over_the_pairs(tmp_path):
    """Three pairs that did not diverge; the seed 0 is not one of the study's."""
    folder = make_study(tmp_path, count=3, diverged=False)
    track_study(folder)
    (cell,) = [run for run in runs_of(folder, "cell") if run.data.tags["arm"] == "batch"]
    losses = table_of(folder).pivot(index="seed", columns="arm", values="final_test_loss")
    losses = losses.loc[[1000, 1001, 1002]]
    ratio = (losses["batch"] / losses["none"]).prod() ** (1 / 3)
    assert cell.data.metrics["test_loss_over_none"] == pytest.approx(ratio, rel=1e-12)


def test_the_study_s_run_has_the_files_and_the_verdicts(tracked):
    folder, _ = tracked
    (run,) = runs_of(folder, "study")
    for name in ("claims.md", "tables/claims.csv", "config.json"):
        assert artifact(folder, run, name).exists()
    assert read_json(artifact(folder, run, "config.json")) == read_json(folder / "study.json")
    assert run.data.tags["verdict C1: tuned"] == "open"


def test_the_study_s_run_is_the_first_in_the_list_and_lasts_as_long_as_all_trained(tracked):
    folder, _ = tracked
    client = client_of(folder)
    experiment = client.get_experiment_by_name("study").experiment_id
    run, *_ = client.search_runs([experiment], order_by=["attributes.start_time DESC"])
    assert run.info.run_name == "study"
    trained = table_of(folder).seconds.sum()
    assert run.info.end_time - run.info.start_time == pytest.approx(1000 * trained, abs=1)
    assert run.data.metrics["seconds"] == trained


def test_the_role_says_whether_a_cell_s_seeds_decide_or_choose_rates(study):
    """Seeds 0 to 4 are for tuning; a cell that has seeds of the study too decides."""
    (study / "mlflow.db").unlink()
    table = table_of(study)
    track_study(study, runs=table[table.seed == 0])
    runs = runs_of(study) + runs_of(study, "cell")
    assert [run.data.tags["role"] for run in runs] == ["tuning"] * (2 * len(ARMS))
    track_study(study)
    runs = runs_of(study) + runs_of(study, "cell")
    assert {run.data.tags["role"] for run in runs} == {"study"}


def test_the_saved_views_are_what_mlflow_s_menu_reads_and_find_the_runs_they_are_about(study):
    """By MLflow's REST API. The menu takes views with a text `name`, a number `createdAt` and a
    text `state`, the latest first, and passes over all others (MLflow 3.17, mlflow/server/js)."""
    client = client_of(study)
    experiment = client.get_experiment_by_name("study").experiment_id
    tuned, tried = runs_of(study, "cell")
    client.set_tag(tuned.info.run_id, "tuned_for", "final_test_loss")
    client.set_tag(tried.info.run_id, "role", "tuning")
    with ui.serving("sqlite:///mlflow.db", study, free_port()) as (address, _):
        api = f"{address}/api/2.0/mlflow"
        tags = ask(f"{api}/experiments/get?experiment_id={experiment}")["experiment"]["tags"]
        prefix = "mlflow.sharedViewState."
        saved = {
            tag["key"].removeprefix(prefix): json.loads(tag["value"])
            for tag in tags
            if tag["key"].startswith(prefix)
        }
        found = {}
        for name, view in saved.items():
            packed = base64.b64decode(view["state"].removeprefix("deflate;"))
            query = {"experiment_ids": [experiment]}
            query |= {"filter": json.loads(zlib.decompress(packed))["searchFilter"]}
            runs = ask(f"{api}/runs/search", query).get("runs", [])
            found[name] = {run["info"]["run_name"] for run in runs}
    menu = sorted(saved, key=lambda name: -saved[name]["createdAt"])
    assert menu == list(views.NAMES)
    assert [saved[name]["name"] for name in menu] == list(views.NAMES.values())
    cells = {cell_of(arm) for arm in ARMS}
    assert found == {
        "study": {"study"},
        "table": cells - {tuned.info.run_name},
        "chart": cells - {tuned.info.run_name},
        "seeds": {f"{cell_of(arm)} s{seed}" for arm in ARMS for seed in SEEDS},
        "cells": cells,
        "tuned": {tuned.info.run_name},
        "tried": {tried.info.run_name},
    }


def ask(address: str, query: dict | None = None) -> dict:
    """What MLflow's REST API answers."""
    data = None if query is None else json.dumps(query).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_the_experiment_explains_itself_and_keeps_artifacts_in_the_study(tracked):
    folder, _ = tracked
    experiment = client_of(folder).get_experiment_by_name("study")
    note = experiment.tags["mlflow.note.content"]
    assert "epochs_to_X" in note and "**open** 0.90 (0.80 to 1.10)" in note
    assert experiment.artifact_location == (folder / "mlruns" / "study").as_uri()


def test_every_run_s_weights_give_its_recorded_loss(tracked):
    """To rounding: the model sums in another order, 1e-15 of outputs around 10 against residuals
    not below 0.01 or so."""
    folder, _ = tracked
    table = table_of(folder)
    for run in runs_of(folder):
        row = table[table.run_key == run.data.tags["run_key"]].iloc[0]
        tensors = read_tensors(artifact(folder, run, "weights.safetensors"))
        assert not any(name.startswith(("optimizer", "generator")) for name in tensors)
        if row.status == "finished":
            mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
            model = load_model(f"runs:/{run.info.run_id}/weights.safetensors")
            assert loss_of(model, folder, row.seed) == pytest.approx(row.last_test_loss, rel=1e-12)


def test_typical_runs_have_a_model_that_gives_the_recorded_loss(tracked):
    folder, _ = tracked
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    table = table_of(folder)
    typical = [run for run in runs_of(folder) if "typical" in run.data.tags]
    finished = table[table.seed.isin(STUDY_SEEDS) & (table.status == "finished")]
    lower_medians = finished.sort_values("final_test_loss").groupby("arm").run_key.nth(0)
    originals = table[table.seed == 0].run_key
    assert {run.data.tags["run_key"] for run in typical} == {*lower_medians, *originals}
    for run in typical:
        row = table[table.run_key == run.data.tags["run_key"]].iloc[0]
        model = mlflow.pytorch.load_model(f"runs:/{run.info.run_id}/model")
        assert loss_of(model, folder, row.seed) == pytest.approx(row.last_test_loss, rel=1e-12)
        one = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model").predict(np.zeros((1, 3)))
        assert one.shape == (1, 3)
        assert not list(artifact(folder, run, "model").rglob("*.p*kl*"))


def loss_of(model, folder: Path, seed: int) -> float:
    """The model's loss per sample on the seed's test set."""
    files = map(read_data, folder.glob("results/datasets/*/*.npz"))
    (data,) = [data.select([int(seed)]) for data in files if seed in data.seeds]
    with torch.no_grad():
        outputs = model(torch.from_numpy(data.test_inputs[0])).numpy()
    return ((outputs - data.test_targets[0]) ** 2).sum() / len(outputs)


def test_a_diverged_run_has_failed_and_names_what_is_not_finite(tracked):
    folder, _ = tracked
    run = run_of(folder, *DIVERGED)
    assert run.info.status == "FAILED"
    assert "final_train_loss" not in run.data.metrics
    assert "final_train_loss = inf" in run.data.tags["not_finite"]
    assert all(abs(value) < 1e300 for value in run.data.metrics.values())
    (cell,) = [run for run in runs_of(folder, "cell") if run.data.tags["arm"] == "none"]
    assert cell.data.metrics["diverged"] == 1


def test_a_second_call_changes_nothing(study, monkeypatch):
    before = rows_of(study)
    with monkeypatch.context() as patch:
        patch.setattr(tracking_plan, "read_parquet", None)  # it does not even read the curves
        receipt = track_study(study)
    assert (receipt["created"], receipt["already_there"]) == (0, TOTAL)
    assert receipt["total"] == TOTAL
    assert rows_of(study) == before
    assert_whole(study)


def test_a_person_s_words_stay(study):
    client = client_of(study)
    experiment = client.get_experiment_by_name("study").experiment_id
    run = run_of(study, "batch", 1000).info.run_id
    client.set_experiment_tag(experiment, "mlflow.note.content", "mine")
    client.set_tag(run, "mlflow.note.content", "mine too")
    client.set_tag(run, "favourite", "yes")
    track_study(study)
    assert client.get_experiment(experiment).tags["mlflow.note.content"] == "mine"
    tags = client.get_run(run).data.tags
    assert (tags["mlflow.note.content"], tags["favourite"]) == ("mine too", "yes")


def test_a_person_s_own_runs_stay(study):
    client = client_of(study)
    run = client.create_run(client.get_experiment_by_name("study").experiment_id).info.run_id
    track_study(study)
    assert client.get_run(run).info.status == "RUNNING"
    assert "superseded" not in client.get_run(run).data.tags


def test_deleted_runs_and_experiments_come_back(study):
    client = client_of(study)
    client.delete_run(runs_of(study)[0].info.run_id)
    client.delete_run(runs_of(study, "cell")[0].info.run_id)
    assert track_study(study)["created"] == 2
    assert_whole(study)
    client.delete_experiment(client.get_experiment_by_name("study").experiment_id)
    track_study(study)
    assert_whole(study)


def test_a_deleted_database_is_rebuilt_even_beside_the_leftovers_of_a_killed_process(study):
    (study / "mlflow.db").unlink()
    for name in ("mlflow.db-journal", "mlflow.db.new", "mlflow.db.new-journal"):
        (study / name).write_bytes(b"half of something")
    assert track_study(study)["created"] == TOTAL
    assert_whole(study)
    assert sorted(path.name for path in study.glob("mlflow.db*")) == ["mlflow.db", "mlflow.db.lock"]


def test_killed_at_any_moment_then_run_again(study):
    """SIGKILL at an SQL statement of the migrations, then three times amid the runs."""
    (study / "mlflow.db").unlink()
    rng = random.Random(20220629)
    # 1716 statements for the migrations, some 60 a run
    for low, high in ((5, 1700), (1730, 1830), (20, 90), (150, 300)):
        process = program(study, rng.randrange(low, high))
        _, errors = process.communicate(timeout=120)
        assert process.returncode == -signal.SIGKILL, errors
    receipt = track_study(study)
    assert receipt["created"] + receipt["completed"] + receipt["already_there"] == TOTAL
    assert_whole(study)
    assert rows_of(study) == sum(
        len(client_of(study).get_metric_history(run.info.run_id, name))
        for level in ("seed", "cell", "study")
        for run in runs_of(study, level)
        for name in run.data.metrics
    )


@pytest.mark.parametrize("method", ["log_batch", "log_artifact", "set_terminated"])
def test_an_unfinished_run_is_completed(study, monkeypatch, method):
    """A call that ended between creating a run and its last word leaves it to the next call."""
    (study / "mlflow.db").unlink()

    def fail(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MlflowClient, method, fail)
        track_study(study)
    unfinished = [*runs_of(study), *runs_of(study, "cell")]
    assert {run.info.status for run in unfinished} == {"RUNNING"} and len(unfinished) == 3
    receipt = track_study(study)
    assert (receipt["created"], receipt["completed"]) == (TOTAL - 3, 3)
    assert_whole(study)
    now = {run.info.run_id for run in [*runs_of(study), *runs_of(study, "cell")]}
    assert {run.info.run_id for run in unfinished} <= now


def test_an_unfinished_run_of_another_training_is_replaced(study):
    client = client_of(study)
    run = runs_of(study)[0]
    tags = {name: run.data.tags[name] for name in ("run_key", "level")}
    client.delete_run(run.info.run_id)
    client.create_run(run.info.experiment_id, start_time=1, tags=tags)  # other times: retrained
    assert track_study(study)["created"] == 1
    assert_whole(study)


def test_two_at_once(study):
    (study / "mlflow.db").unlink()
    processes = [program(study), program(study)]
    for process in processes:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    assert_whole(study)


def results_from(other: Path, folder: Path) -> None:
    """Put another study's files into this one's place."""
    shutil.rmtree(folder / "results")
    shutil.copytree(other / "results", folder / "results")
    shutil.copy(other / "study.json", folder / "study.json")


def marks(folder: Path) -> dict[str, str]:
    runs = [run for level in ("seed", "cell", "study") for run in runs_of(folder, level)]
    return {run.data.tags["run_key"]: run.data.tags["superseded"] for run in runs}


def test_other_code_makes_new_runs_and_marks_the_superseded(study, tracked, other):
    old = marks(study)
    results_from(other, study)
    receipt = track_study(study)
    assert (receipt["created"], receipt["superseded"]) == (TOTAL, TOTAL)
    both = marks(study)
    assert both == {name: "true" if name in old else "false" for name in both}
    assert len(both) == 2 * TOTAL
    results_from(tracked[0], study)  # and back again
    assert track_study(study)["created"] == 0
    assert marks(study) == {name: str(name not in old).lower() for name in both}


def test_other_settings_are_other_cells_which_supersede_nothing(study, tmp_path):
    old = {run.data.tags["run_key"] for level in ("seed", "cell") for run in runs_of(study, level)}
    results_from(make_study(tmp_path / "faster", learning_rate=0.002), study)
    receipt = track_study(study)
    assert (receipt["created"], receipt["superseded"]) == (TOTAL, 1)  # the study's own run
    now = marks(study)
    assert len(now) == 2 * TOTAL and {now[name] for name in old} == {"false"}
    shown = views.in_grid(Study.from_config(read_json(study / "study.json")))
    client = client_of(study)
    experiment = client.get_experiment_by_name("study").experiment_id
    cells = client.search_runs([experiment], f"tags.level = 'cell' and {shown}")
    assert {run.info.run_name for run in cells} == {f"{arm}-w4-lr0.002-e60" for arm in ARMS}


def test_runs_of_a_study_before_there_were_cells_are_superseded(study):
    run = runs_of(study)[0]
    tags = {"run_key": "old", "level": "seed", "study": "study", "variant": "default", "seed": "0"}
    client_of(study).create_run(run.info.experiment_id, tags=tags)
    assert track_study(study)["superseded"] == 1
    assert marks(study)["old"] == "true"


def test_what_nobody_will_finish_is_abandoned(study):
    """A run that a watcher left running, of code that no longer is the study's."""
    client = client_of(study)
    run = runs_of(study)[0]
    tags = run.data.tags | {"run_key": "of earlier code"}
    stale = client.create_run(run.info.experiment_id, tags=tags).info.run_id
    assert track_study(study)["abandoned"] == 1
    left = client.get_run(stale)
    assert (left.info.status, left.data.tags["superseded"]) == ("KILLED", "true")
    assert track_study(study)["abandoned"] == 0


def test_runs_of_a_cell_that_no_experiment_asks_for_any_more_are_abandoned(study):
    client = client_of(study)
    run = runs_of(study)[0]
    tags = run.data.tags | {"run_key": "other", "cell": "none-w7-e60", "experiments": "gone"}
    stale = client.create_run(run.info.experiment_id, tags=tags).info.run_id
    assert track_study(study)["abandoned"] == 1
    assert client.get_run(stale).info.status == "KILLED"


def test_more_seeds_renew_the_parents_only(study):
    """Nothing is trained again, and no curve is logged twice over another."""
    seeds = {run.info.run_id for run in runs_of(study)}
    cells = {run.info.run_id for run in runs_of(study, "cell")}
    make_study(study, count=3)
    track_study(study)
    assert_whole(study)
    assert not cells & {run.info.run_id for run in runs_of(study, "cell")}
    # times differ after this test's own retraining, but what was complete stays as it was
    assert seeds < {run.info.run_id for run in runs_of(study)}


def test_another_analysis_updates_the_final_metrics_only(study):
    before = rows_of(study)
    table = table_of(study)
    table["final_test_loss"] /= 2
    write_csv(study / "results/tables/runs.csv", table)
    receipt = track_study(study)
    assert receipt["updated"] == TOTAL - 2  # not the diverged run, whose loss is infinite; nor
    assert_whole(study)  # the study's own, which counts runs
    # the ratio to none as well: what the diverged run counts as is not halved
    moved = "final_test_loss", "test_loss_over_none"
    changed = (
        TOTAL
        - 3
        - 1
        + sum(
            any(part in name for part in moved)
            for run in runs_of(study, "cell")
            for name in run.data.metrics
        )
    )
    assert rows_of(study) > before
    assert rows_of(study) <= before + changed
    assert track_study(study)["updated"] == 0


def test_a_new_figure_goes_to_the_same_study_run(study):
    (study / "mlflow.db").unlink()  # a process remembers where each run has its artifacts
    track_study(study)
    (before,) = runs_of(study, "study")
    (study / "results/claims.md").write_text("# Other claims")
    assert track_study(study)["updated"] == 1
    (after,) = runs_of(study, "study")
    assert after.info.run_id == before.info.run_id
    assert artifact(study, after, "claims.md").read_text() == "# Other claims"


def test_a_run_without_a_record_is_named(study):
    others = [path for path in records(study) if "none-w4-e60/seeds_1000" not in str(path)]
    with pytest.raises(MissingRecord, match="none-w4-e60-s1000-"):
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
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    receipt = track_if_available(**arguments_of(study))
    assert receipt["tracked"] is False and "make track" in receipt["missing"]


def test_a_file_that_is_no_database_is_reported_with_the_remedy(study):
    (study / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(TrackingUnavailable, match="move it away"):
        track_study(study)


def test_a_full_disk_is_reported_and_made_up_for(study, monkeypatch):
    (study / "mlflow.db").unlink()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(TrackingUnavailable, match="No space left"):
        patch.setattr(MlflowClient, "log_artifact", full)
        track_study(study)
    track_study(study)
    assert_whole(study)


def test_the_environment_names_the_server(study, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    shutil.copy(study / "mlflow.db", study / "elsewhere.db")
    assert track_study(study)["tracking_uri"] == "sqlite:///elsewhere.db"


def test_no_git_no_commit(monkeypatch):
    assert set(origin()) >= {"mlflow.user", "mlflow.source.name"}
    monkeypatch.setenv("PATH", "")
    assert "mlflow.source.git.commit" not in origin()


def start(folder: Path, scope: str = "") -> None:
    """As if Snakemake had started this study, and nothing were trained yet."""
    study = Study.from_config(read_json(folder / "study.json"))
    plan = Plan(study)
    blocks = [
        {"place": b.place, "models": len(plan.seeds(b)), "cost": plan.cost(b), "due": False}
        for b in plan.blocks(scope)
    ]
    described = {"started": 0, "study": study.model_dump(mode="json"), "blocks": blocks}
    write_json(folder / "logs/plan.json", described)


def test_runs_appear_while_the_study_trains(study):
    (study / "mlflow.db").unlink()
    start(study)
    blocks = {arm: study / f"results/runs/{cell_of(arm)}/seeds_1000" for arm in ARMS}
    for arm, block in blocks.items():
        block.rename(study / arm)  # not trained yet
    shutil.rmtree(study / f"results/runs/{cell_of('none')}")
    log = study / f"logs/train/{cell_of('batch')}/seeds_1000.log"
    log.parent.mkdir(parents=True)
    log.write_text("epoch 30 of 60, 0.1 ms a model-epoch, 3 s left")
    watcher = Watcher(study)
    assert not watcher.over()
    assert "1 of 7 runs" in watcher.look()  # with that of the extended scope in a block of both
    assert watcher.look() is None
    (run,), (cell,) = runs_of(study), runs_of(study, "cell")
    assert (run.info.status, cell.info.status) == ("FINISHED", "RUNNING")
    assert cell.data.metrics["progress"] == 0.75  # one block done, half of the other
    watcher.leave()
    assert runs_of(study, "cell")[0].info.status == "KILLED"
    (study / "batch").rename(blocks["batch"])
    assert "4 of 7 runs" in watcher.look()
    (cell,) = runs_of(study, "cell")
    assert (cell.info.status, cell.data.metrics["progress"]) == ("FINISHED", 1.0)


def test_what_a_watcher_left_is_completed(study):
    """It is killed, the rest is trained, and the next `track` makes everything whole."""
    (study / "mlflow.db").unlink()
    start(study)
    hidden = study / f"results/runs/{cell_of('batch')}/seeds_1000"
    hidden.rename(study / "hidden")
    Watcher(study).look()
    assert {run.info.status for run in runs_of(study, "cell")} == {"RUNNING", "FINISHED"}
    (study / "hidden").rename(hidden)
    track_study(study)
    assert_whole(study)


LOSING = """
import os, signal, sys
from bnstudy.commands import __main__, watch

class Lost:
    def __del__(self):  # as Python calls a weak reference's callback: what is raised there is lost
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass

def look(self):
    Lost()

watch.Watcher.look = look
watch.EVERY = 0.1
sys.exit(__main__.main(["watch", "--child-of", str(os.getppid())]))
"""


def test_a_watcher_ends_though_its_exception_was_lost(tmp_path):
    """Snakemake waits for it at the end."""
    command = [sys.executable, "-c", LOSING]
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "check": False}
    done = subprocess.run(command, timeout=60, **options)
    assert "Exception ignored" in done.stderr and "SystemExit" in done.stderr
    assert done.returncode == 0


def test_a_watcher_leaves_whole_parents_alone_while_their_blocks_are_trained_anew(study):
    before = {run.info.run_id: run.data for run in runs_of(study, "cell")}
    start(study)
    shutil.rmtree(study / f"results/runs/{cell_of('batch')}/seeds_1000")
    Watcher(study).look()
    after = {run.info.run_id: run.data for run in runs_of(study, "cell")}
    assert {key: data.metrics for key, data in after.items()} == {
        key: data.metrics for key, data in before.items()
    }


def cells(study: Path) -> dict[str, tuple[str, dict[str, float]]]:
    """Status and values of the runs of whole cells, by their keys."""
    found = runs_of(study, "cell")
    return {run.data.tags["run_key"]: (run.info.status, run.data.metrics) for run in found}


def test_a_block_that_ends_while_a_watcher_looks_makes_no_half_cell(study, monkeypatch):
    before = cells(study)
    start(study)
    block = study / f"results/runs/{cell_of('batch')}/seeds_1000"
    block.rename(study / "hidden")
    look_at = Watcher._runs

    def slowly(*arguments):
        if not block.exists():
            (study / "hidden").rename(block)
        return look_at(*arguments)

    monkeypatch.setattr(Watcher, "_runs", slowly)
    Watcher(study).look()
    assert cells(study) == before


def test_a_watcher_leaves_a_cell_alone_whose_blocks_are_of_two_trainings(study, other):
    """Another rate was chosen, and the first of its blocks is trained anew with it."""
    before = cells(study)
    start(study)
    block = f"results/runs/{cell_of('batch')}/seeds_1000"
    shutil.rmtree(study / block)
    shutil.copytree(other / block, study / block)
    Watcher(study).look()
    after = cells(study)
    assert {key: after[key] for key in before} == before
    (anew,) = after.keys() - before.keys()
    assert after[anew][0] == "RUNNING"
    results_from(other, study)
    track_study(study)
    assert {status for status, _ in cells(study).values()} == {"FINISHED"}


# --- two scopes, one experiment ---------------------------------------------------------------


def test_a_run_in_both_scopes_is_logged_once(both):
    table = table_of(both, EXTENDED)
    assert sorted(run.data.tags["run_key"] for run in runs_of(both)) == sorted(table.run_key)
    assert len(runs_of(both, "cell")) == table.cell.nunique()
    assert {run.data.tags["scope"] for run in runs_of(both, "study")} == {"default", "extended"}
    assert set(marks(both).values()) == {"false"}


def test_tracking_one_scope_leaves_the_other_s_runs_alone(both):
    before = {
        run.data.tags["run_key"]: (run.info.run_id, run.info.status, run.data.metrics)
        for level in ("seed", "cell", "study")
        for run in runs_of(both, level)
    }
    rows = rows_of(both)
    for scope in ("", EXTENDED):
        receipt = track_study(both, scope=scope)
        assert {receipt[n] for n in ("created", "updated", "superseded", "abandoned")} == {0}
    assert rows_of(both) == rows
    assert before == {
        run.data.tags["run_key"]: (run.info.run_id, run.info.status, run.data.metrics)
        for level in ("seed", "cell", "study")
        for run in runs_of(both, level)
    }


def test_a_cell_has_the_seeds_and_names_of_all_experiments_that_ask_for_it(both):
    track_study(both)
    (cell,) = [run for run in runs_of(both, "cell") if run.info.run_name == cell_of("batch")]
    assert cell.data.tags["experiments"] == "grid,more,original"
    assert cell.data.metrics["runs"] == 3
    (seed,) = [run for run in runs_of(both) if run.info.run_name == f"{cell_of('batch')} s1002"]
    assert seed.data.tags["experiments"] == "more"


def test_an_unfinished_run_of_the_other_scope_is_not_abandoned(both):
    client = client_of(both)
    run = next(run for run in runs_of(both) if run.data.tags["arm"] == "layer-norm")
    client.update_run(run.info.run_id, "RUNNING")
    assert track_study(both)["abandoned"] == 0
    assert client.get_run(run.info.run_id).info.status == "RUNNING"
    assert track_study(both, scope=EXTENDED)["completed"] == 1


def test_of_minibatches_the_loss_in_evaluation_is_there_too(both):
    names = {
        run.info.run_name: {name for name in run.data.metrics if name.startswith("loss/")}
        for run in runs_of(both)
    }
    assert names[f"none-w4-b10-e{EPOCHS} s1000"] == {"loss/train", "loss/test", "loss/train_eval"}
    assert names[f"{cell_of('none')} s1000"] == {"loss/train", "loss/test"}


def test_an_arm_that_is_not_affine_has_weights_and_a_model_too(both):
    mlflow.set_tracking_uri(f"sqlite:///{both / 'mlflow.db'}")
    table = table_of(both, EXTENDED).set_index("run_key")
    runs = [run for run in runs_of(both) if run.data.tags["arm"] == "layer-norm"]
    assert len(runs) == 2
    for run in runs:
        row = table.loc[run.data.tags["run_key"]]
        expected = pytest.approx(row.last_test_loss, rel=1e-12)
        model = load_model(f"runs:/{run.info.run_id}/weights.safetensors")
        assert loss_of(model, both, row.seed) == expected
        if "typical" in run.data.tags:
            model = mlflow.pytorch.load_model(f"runs:/{run.info.run_id}/model")
            assert loss_of(model, both, row.seed) == expected
    assert sum("typical" in run.data.tags for run in runs) == 1


@pytest.mark.parametrize("arm", members.names("arms"))
def test_the_network_of_any_arm_is_rebuilt_from_its_weights(arm):
    """To the last bit, from its state and settings alone; and its model computes the same."""
    study = make_settings()
    settings = {
        "arm": arm,
        "width": 5,
        "arm_settings": study.arms[arm],
        "batch_norm": study.batch_norm.model_dump(),
        "epochs": 30,
        "batch_size": "full",
    }
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(1, 20, 3, generator=generator, dtype=torch.float64)
    network = build_network(arm, 5, [7], inputs, settings)
    network(inputs)  # in training mode: running values move
    rebuilt = network_of(network.state_dict(), settings)
    expected = network.eval()(inputs)
    assert torch.equal(rebuilt(inputs), expected)
    assert torch.allclose(model_of(rebuilt)(inputs[0]), expected[0], rtol=1e-12, atol=1e-12)


def test_a_scope_that_trains_no_runs_has_its_own_run(tmp_path, monkeypatch):
    """A study of gradients at initialisation alone, say."""
    monkeypatch.chdir(tmp_path)
    study = make_settings()
    write_json(tmp_path / "study.json", study.model_dump(mode="json"))
    empty = study.model_copy(update={"default_experiments": ["depth"]})
    collect(tmp_path, empty)
    assert len(table_of(tmp_path)) == 0
    assert track_study(tmp_path)["created"] == 1
    (run,) = runs_of(tmp_path, "study")
    assert run.data.metrics["runs"] == 0 and artifact(tmp_path, run, "claims.md").exists()
    receipt = track_study(tmp_path)
    assert (receipt["already_there"], receipt["total"]) == (1, 1)
