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

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch

from bnstudy.collect import read_block
from bnstudy.files import (
    read_data,
    read_json,
    read_tensors,
    write_csv,
    write_json,
)
from bnstudy.measures import log_spaced_epochs
from bnstudy.study import Study
from bnstudy.tracking import describe
from bnstudy.tracking.artifacts import load_model
from bnstudy.tracking.describe import MissingRecord
from bnstudy.tracking.importer import MlflowClient, track_or_say_why_not
from bnstudy.tracking.server import TrackingUnavailable
from bnstudy.tracking.watch import Watcher
from tests.small_study import (
    ARMS,
    DIVERGED,
    EPOCHS,
    GRID,
    POINTS,
    RATE,
    ROOT,
    SEEDS,
    WIDTH,
    key,
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
from bnstudy.files import read_csv, read_json
from bnstudy.study import Study
from bnstudy.tracking.importer import track

left = int(sys.argv[1]) if len(sys.argv) > 1 else -1

@sqlalchemy.event.listens_for(sqlalchemy.Engine, "before_cursor_execute")
def count(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

records = sorted(Path().glob("results/training/*/*/*/record.json"))
files = ["results/claims.md", "results/tables/claims.csv"]
track(
    read_csv("results/tables/runs.csv"), records, Study(**read_json("study.json")), Path(), files
)
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
    paths = folder.glob(f"results/training/{arm}/*/*/curves.parquet")
    table = pd.concat([read_block(path).to_pandas() for path in paths])
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
        finals = row.drop(["arm", "width", "seed", "in_grid", "status"]).astype(float)
        finals = finals[np.isfinite(finals)]
        assert {name: run.data.metrics[name] for name in finals.index} == finals.to_dict()
        assert len(run.data.metrics) == len(finals) + 2
        curves = curves_of(folder, row["arm"], row["seed"])
        assert_history(folder, run, "loss/train", curves.train_loss)
        assert_history(folder, run, "loss/test", curves.test_loss)
        assert run.data.params["training.epochs"] == str(EPOCHS)
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
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
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
    """The same study at another learning rate, not tracked."""
    return make_study(tmp_path_factory.mktemp("other"), rate=2 * RATE)


@pytest.fixture
def study(tracked, tmp_path, monkeypatch) -> Path:
    """A copy of the tracked study; the current folder."""
    folder = tmp_path / "study"
    shutil.copytree(tracked[0], folder)
    # its artifacts are where the experiment says they are: in the original's folder
    with sqlite3.connect(folder / "mlflow.db") as database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(
                f"update {table} set {column} = replace({column}, ?, ?)",
                (str(tracked[0]), str(folder)),
            )
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
    record = next(
        r for r in map(read_json, records(folder))
        if run.data.tags["run_key"] in r["run_keys"].values()
    )  # fmt: skip
    assert run.info.run_name == "batch w4 s1000"
    params = {
        "arm": "batch",
        "width": "4",
        "seed": "1000",
        "dataset.train_size": "30",
        "dataset.ranges.r": "[-1.0, 1.0]",
        "training.epochs": "60",
        "training.learning_rate": "0.001",
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
        "in_grid": "true",
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
    assert "results/datasets/seeds_1000.npz" in dataset.source
    seconds = pd.Timestamp(record["finished_at"]) - pd.Timestamp(record["started_at"])
    assert run.info.end_time - run.info.start_time == seconds / pd.Timedelta("1ms")
    steps = client_of(folder).get_metric_history(run.info.run_id, "loss/train")
    times = [point.timestamp for point in sorted(steps, key=lambda point: point.step)]
    assert times == sorted(times)
    assert run.info.start_time <= times[0] < times[-1] == run.info.end_time


def test_a_parent_holds_the_medians_and_quartiles_of_its_seeds(tracked):
    folder, _ = tracked
    (cell,) = [run for run in runs_of(folder, "cell") if run.data.tags["arm"] == "batch"]
    grid = [seed for seed in SEEDS if seed in GRID]
    curves = [curves_of(folder, "batch", seed).test_loss for seed in grid]
    by_epoch = pd.concat(curves, axis=1)
    for suffix, q in (("", 0.5), ("_q1", 0.25), ("_q3", 0.75)):
        assert_history(folder, cell, f"loss/test{suffix}", by_epoch.quantile(q, axis=1))
    table = table_of(folder)
    finals = table[(table.arm == "batch") & table.seed.isin(grid)].final_test_loss
    assert cell.data.metrics["final_test_loss"] == finals.min()  # the lower middle one of two
    assert cell.data.metrics["runs"] == len(grid) and cell.data.metrics["diverged"] == 0
    children = {run.data.tags["seed"] for run in runs_of(folder)
                if run.data.tags["mlflow.parentRunId"] == cell.info.run_id}  # fmt: skip
    assert children == set(map(str, SEEDS))
    assert "Without" not in cell.data.tags["mlflow.note.content"]
    assert "curves.png" in cell.data.tags["mlflow.note.content"]


def test_a_parent_s_ratio_is_the_geometric_mean_over_the_pairs(tmp_path):
    """Three pairs that did not diverge: seeds 1000, 1002, 1003."""
    folder = make_study(tmp_path, seeds=(0, 1000, 1002, 1003))
    track_study(folder)
    (cell,) = [run for run in runs_of(folder, "cell") if run.data.tags["arm"] == "batch"]
    losses = table_of(folder).pivot(index="seed", columns="arm", values="final_test_loss")
    losses = losses.loc[[1000, 1002, 1003]]
    ratio = (losses["batch"] / losses["none"]).prod() ** (1 / 3)
    assert cell.data.metrics["test_loss_over_none"] == pytest.approx(ratio, rel=1e-12)


def test_the_study_s_run_has_the_files_and_the_verdicts(tracked):
    folder, _ = tracked
    (run,) = runs_of(folder, "study")
    for name in ("claims.md", "tables/claims.csv", "config.json"):
        assert artifact(folder, run, name).exists()
    assert read_json(artifact(folder, run, "config.json")) == read_json(folder / "study.json")
    assert run.data.tags["verdict C1"] == "inconclusive"


def test_the_experiment_explains_itself_and_keeps_artifacts_in_the_study(tracked):
    folder, _ = tracked
    experiment = client_of(folder).get_experiment_by_name("study")
    note = experiment.tags["mlflow.note.content"]
    assert "epochs_to_X" in note and "Left open." in note
    assert experiment.artifact_location == (folder / "mlruns" / "study").as_uri()


def test_every_run_s_weights_give_its_recorded_loss(tracked):
    """To rounding: the model sums in another order, 1e-15 of outputs around 10 against residuals
    not below 0.01 or so."""
    folder, _ = tracked
    table = table_of(folder)
    for run in runs_of(folder):
        row = table[table.run_key == run.data.tags["run_key"]].iloc[0]
        tensors = read_tensors(artifact(folder, run, "weights.safetensors"))
        assert not any(name.startswith("adam") for name in tensors)
        if row.status == "finished":
            mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
            model = load_model(f"runs:/{run.info.run_id}/weights.safetensors")
            assert loss_of(model, folder, row.seed) == pytest.approx(row.last_test_loss, rel=1e-12)


def test_typical_runs_have_a_model_that_gives_the_recorded_loss(tracked):
    folder, _ = tracked
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    table = table_of(folder)
    typical = [run for run in runs_of(folder) if "typical" in run.data.tags]
    grid = table[table.in_grid & (table.status == "finished")]
    lower_medians = grid.sort_values("final_test_loss").groupby("arm").run_key.nth(0)
    originals = table[~table.in_grid].run_key
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
    (data,) = [
        d.select([seed]) for d in map(read_data, folder.glob("results/datasets/*.npz"))
        if seed in d.seeds
    ]  # fmt: skip
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
        patch.setattr(describe, "read_parquet", None)  # it does not even read the curves
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


def test_of_two_runs_with_one_key_the_complete_one_stays(study):
    """As two machines with one server, which hold different locks, might leave it."""
    run = runs_of(study)[0]
    tags = {name: run.data.tags[name] for name in ("run_key", "level")}
    client_of(study).create_run(run.info.experiment_id, tags=tags)
    track_study(study)
    assert_whole(study)
    assert run.info.run_id in {run.info.run_id for run in runs_of(study)}


def results_from(other: Path, folder: Path) -> None:
    """Put another study's files into this one's place."""
    shutil.rmtree(folder / "results")
    shutil.copytree(other / "results", folder / "results")
    shutil.copy(other / "study.json", folder / "study.json")


def marks(folder: Path) -> dict[str, str]:
    runs = [run for level in ("seed", "cell", "study") for run in runs_of(folder, level)]
    return {run.data.tags["run_key"]: run.data.tags["superseded"] for run in runs}


def test_other_settings_make_new_runs_and_mark_the_superseded(study, tracked, other):
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


def test_what_nobody_will_finish_is_given_up(study, other):
    """A run that a watcher left running, of settings that no longer are the study's."""
    client = client_of(study)
    run = runs_of(study)[0]
    tags = run.data.tags | {"run_key": "of earlier settings"}
    stale = client.create_run(run.info.experiment_id, tags=tags).info.run_id
    assert track_study(study)["given_up"] == 1
    left = client.get_run(stale)
    assert (left.info.status, left.data.tags["superseded"]) == ("KILLED", "true")


def test_more_seeds_renew_the_parents_only(study):
    """Nothing is trained again, and no curve is logged twice over another."""
    seeds = {run.info.run_id for run in runs_of(study)}
    cells = {run.info.run_id for run in runs_of(study, "cell")}
    make_study(study, seeds=(*SEEDS, 1002))
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
    changed = TOTAL - 3 - 1 + sum(
        any(part in name for part in moved)
        for run in runs_of(study, "cell") for name in run.data.metrics
    )  # fmt: skip
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
    others = [path for path in records(study) if "none/width_4/seeds_1000" not in str(path)]
    with pytest.raises(MissingRecord, match="none-w4-s1000-"):
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
    receipt = track_or_say_why_not(
        table_of(study), records(study), Study(**read_json(study / "study.json")), study
    )
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
    assert set(describe.origin()) >= {"mlflow.user", "mlflow.source.name"}
    monkeypatch.setenv("PATH", "")
    assert "mlflow.source.git.commit" not in describe.origin()


def start(folder: Path) -> None:
    """As if Snakemake had started this study, and nothing were trained yet."""
    study = Study(**read_json(folder / "study.json"))
    blocks = [[arm, WIDTH, first, count] for arm in ARMS for first, count in ((0, 1), (1000, 2))]
    plan = {"started": 0, "study": study.model_dump(mode="json"), "blocks": blocks}
    write_json(folder / "logs/plan.json", plan)


def test_runs_appear_while_the_study_trains(study):
    (study / "mlflow.db").unlink()
    start(study)
    blocks = {arm: study / f"results/training/{arm}/width_4/seeds_1000" for arm in ARMS}
    for arm, block in blocks.items():
        block.rename(study / arm)  # not trained yet
    shutil.rmtree(study / "results/training/none")
    log = study / "logs/train/batch/width_4/seeds_1000.log"
    log.parent.mkdir(parents=True)
    log.write_text("epoch 30 of 60, 0.1 ms a model-epoch, 3 s left")
    watcher = Watcher(study)
    assert not watcher.over()
    assert "1 of 6 runs" in watcher.look()
    assert watcher.look() is None
    (run,), (cell,) = runs_of(study), runs_of(study, "cell")
    assert (run.info.status, cell.info.status) == ("FINISHED", "RUNNING")
    assert cell.data.metrics["progress"] == 0.75  # one block done, half of the other
    watcher.leave()
    assert runs_of(study, "cell")[0].info.status == "KILLED"
    (study / "batch").rename(blocks["batch"])
    assert "3 of 6 runs" in watcher.look()
    (cell,) = runs_of(study, "cell")
    assert (cell.info.status, cell.data.metrics["progress"]) == ("FINISHED", 1.0)


def test_what_a_watcher_left_is_completed(study):
    """It is killed, the rest is trained, and the next `track` makes everything whole."""
    (study / "mlflow.db").unlink()
    start(study)
    hidden = study / "results/training/batch/width_4/seeds_1000"
    hidden.rename(study / "hidden")
    Watcher(study).look()
    assert {run.info.status for run in runs_of(study, "cell")} == {"RUNNING", "FINISHED"}
    (study / "hidden").rename(hidden)
    track_study(study)
    assert_whole(study)


def test_a_watcher_leaves_whole_parents_alone_while_their_blocks_are_trained_anew(study):
    before = {run.info.run_id: run.data for run in runs_of(study, "cell")}
    start(study)
    shutil.rmtree(study / "results/training/batch/width_4/seeds_1000")
    Watcher(study).look()
    after = {run.info.run_id: run.data for run in runs_of(study, "cell")}
    assert {key: data.metrics for key, data in after.items()} == {
        key: data.metrics for key, data in before.items()
    }
