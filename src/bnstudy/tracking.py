"""From the study's files to MLflow: one importer that may run at any time, any number of times.

Training knows nothing of MLflow. `track` reads what it left (runs.csv, curves.parquet, the blocks'
records) and brings an MLflow experiment up to date with it: one MLflow run a trained run, found
again by its tag `run_key`. A run is created RUNNING, filled, and marked FINISHED (or FAILED, if it
diverged) last, under a file lock; so whoever finds it RUNNING there finishes it, and a run that is
FINISHED is whole. Times are the record's, which makes logging the same value twice a no-op.

The only module that imports mlflow. The database can be deleted at any time: it holds nothing that
the files do not.
"""

import gc
import getpass
import logging
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.parquet as pq
from filelock import FileLock

from bnstudy.files import read_json
from bnstudy.measures import log_spaced_epochs

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",  # MLflow understands `true` only, not 1
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # a server that is not there is reported in seconds,
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # not in the four minutes of MLflow's defaults
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # would cost a request a run
}.items():
    os.environ.setdefault(_name, _value)  # read by mlflow when it is imported

from mlflow.entities import Metric, Param, ViewType  # noqa: E402
from mlflow.entities import Run as StoredRun  # noqa: E402
from mlflow.exceptions import MlflowException, RestException  # noqa: E402
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402
from sqlalchemy.engine import make_url  # noqa: E402
from sqlalchemy.exc import SQLAlchemyError  # noqa: E402

logger = logging.getLogger(__name__)

_IDENTITY = ["run_key", "arm", "width", "seed", "in_grid", "status"]  # of runs.csv; others: metrics
_COMPLETE = ("FINISHED", "FAILED")
_BATCH = 900  # metrics a request; MLflow takes 1000 entities, among them up to 100 parameters
_TABLE = "#/experiments/{}/runs?workflowType=machine_learning&compareRunsMode=TABLE"

_NOTE = """\
**What does batch normalisation do to a small neural network?** One run is one trained network: an
arm (`none`: without BN, `batch`: with it) × a width (hidden units) × a seed, which draws both the
data set and the initial weights. Runs of one seed and width are pairs: same data, same weights.

- `final_train_loss`, `final_test_loss`: median over the last epochs; `last_…`: the very last epoch.
- `epochs_to_X`: epochs until the train loss first was at most X. Where `reached_X` is 0 it never
  was, and `epochs_to_X` is the training budget.
- `loss/train`, `loss/test`: the curves at log-spaced epochs; every epoch is in
  `results/tables/curves.parquet`.
- `seconds`: the run's share of the time that its block of seeds trained; *Duration* is the whole.
- Status `FAILED`: the run diverged. Values that are not finite are named in its tag `not_finite`.

Filter with `tags.superseded = "false"` to hide runs of earlier settings or code, and with
`tags.in_grid = "true"` to leave out the article's original run.
"""


class TrackingUnavailable(RuntimeError):
    """MLflow cannot be reached or opened; the message names the URI and the remedy."""


class MissingRecord(ValueError):
    """runs.csv lists a run that no block's record describes."""


class Cell(NamedTuple):
    """What a run is about; a run with other settings or code in the same cell supersedes it."""

    arm: str
    width: int
    seed: int


@dataclass(frozen=True)
class TrackedRun:
    """What MLflow shall hold of one run, all but its curves. Times in ms since 1970."""

    key: str
    cell: Cell
    name: str
    status: str  # MLflow's word for the end: FINISHED or FAILED
    start: int
    end: int
    epochs: int
    params: Mapping[str, str]
    metrics: Mapping[str, float]  # finite values only
    tags: Mapping[str, str]


def track(
    runs: pd.DataFrame,
    curves: str | Path,
    records: Iterable[str | Path],
    tracking_uri: str,
    experiment: str,
    study_directory: str | Path,
    curve_points: int = 290,
) -> dict[str, Any]:
    """Bring `experiment` up to date with the study's files and return a receipt.

    `runs` is the table runs.csv, `curves` the path of curves.parquet, `records` the paths of the
    blocks' record.json. A relative SQLite URI lies in `study_directory`, as for an `mlflow ui`
    started there. The environment variable MLFLOW_TRACKING_URI, where set, replaces `tracking_uri`.

    The receipt counts the runs `created`, `completed` (left unfinished by a process that died),
    `updated` (a final metric has changed), `already_there`, in `total`, and those `superseded`.

    Raises TrackingUnavailable if MLflow cannot be reached or opened, MissingRecord if a run has no
    record. Whatever was written until then stays, and the next call continues from there.
    """
    began = time.monotonic()
    directory = Path(study_directory).resolve()
    uri = chosen_uri(tracking_uri)
    wanted = described(runs, records, study=experiment)
    with _one_writer(uri, directory), _explained(uri), _old_objects_set_aside():
        client = _open(uri, directory)
        experiment_id = _experiment(client, experiment, _artifacts(uri, directory, experiment))
        present = _without_outdated(client, wanted, _present(client, experiment_id))
        counts = _write(client, experiment_id, wanted, present, Path(curves), curve_points)
        superseded = _mark_superseded(client, wanted, present)
    return {
        "tracking_uri": _without_password(uri),
        "experiment": experiment,
        "experiment_id": experiment_id,
        **counts,
        "total": len(wanted),
        "superseded": superseded,
        "seconds": round(time.monotonic() - began, 1),
        "ui": _TABLE.format(experiment_id),
    }


def chosen_uri(tracking_uri: str) -> str:
    """MLFLOW_TRACKING_URI where set and not empty, else `tracking_uri`.

    The environment wins, as it does over defaults elsewhere in MLflow: config.yaml always names a
    URI, and a person who exports the variable means this machine.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or tracking_uri


# --- what shall be there ---------------------------------------------------------------------


def described(
    runs: pd.DataFrame, records: Iterable[str | Path], study: str
) -> dict[str, TrackedRun]:
    """Every run of the table `runs`, by its key, described from its row and its block's record."""
    by_key = _records_by_key(records)
    common = {"study": study, **_origin()}
    metrics = runs.drop(columns=_IDENTITY).select_dtypes(["number", "bool"]).astype(float)
    described = {}
    for row, values in zip(
        runs[_IDENTITY].to_dict("records"), metrics.to_dict("records"), strict=True
    ):
        key = row["run_key"]
        if key not in by_key:
            raise MissingRecord(
                f"run {key} of runs.csv is in none of the {len(by_key)} runs' record.json; "
                "run the pipeline again (`make`): it collects the tables from the records"
            )
        described[key] = _described(row, values, by_key[key], common)
    return described


def _records_by_key(records: Iterable[str | Path]) -> dict[str, dict]:
    """The block record of each run."""
    return {
        key: record for record in map(read_json, records) for key in record["run_keys"].values()
    }


def _described(row: Mapping, metrics: Mapping, record: Mapping, common: Mapping) -> TrackedRun:
    """One run: `row` says who it is, `metrics` how it ended, `record` how it was trained."""
    cell = Cell(row["arm"], int(row["width"]), int(row["seed"]))
    finite, others = _by_finiteness(metrics)
    who = {name: str(value) for name, value in cell._asdict().items()}
    return TrackedRun(
        key=row["run_key"],
        cell=cell,
        name=f"{cell.arm} w{cell.width} s{cell.seed}",
        status="FINISHED" if row["status"] == "finished" else "FAILED",
        start=_milliseconds(record["started_at"]),
        end=_milliseconds(record["finished_at"]),
        epochs=record["settings"]["training"]["epochs"],
        params=who | _flat(record["settings"]),
        metrics=finite,
        tags=common
        | who
        | {
            "run_key": row["run_key"],
            "in_grid": str(bool(row["in_grid"])).lower(),
            "code_digest": record["code_digest"],
            "dataset_digest": record["dataset_digests"][who["seed"]],
            "machine": ", ".join(map(str, record["machine"].values())),
            "versions": ", ".join(f"{name} {v}" for name, v in record["versions"].items()),
            "threads": str(record["threads"]),
        }
        | ({"not_finite": others} if others else {}),
    )


def _by_finiteness(metrics: Mapping[str, float]) -> tuple[dict[str, float], str]:
    """The finite metrics, and the others as a text.

    MLflow stores infinity as 1.8e308, which would pass for a loss and ruin every axis: a value that
    is not finite is a tag, and a gap in the table.
    """
    finite = {name: value for name, value in metrics.items() if abs(value) < float("inf")}
    others = ", ".join(f"{name} = {v}" for name, v in metrics.items() if name not in finite)
    return finite, others


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as `dataset.train_size` → "1000"."""
    flat = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = str(value)
    return flat


def _milliseconds(iso: str) -> int:
    """An ISO 8601 time as MLflow counts it."""
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def _origin() -> dict[str, str]:
    """MLflow's own tags: who tracked, from which checkout (what trained is in `code_digest`)."""
    tags = {"mlflow.source.name": "bnstudy", "mlflow.source.type": "LOCAL", "mlflow.user": _user()}
    if commit := _git("rev-parse", "HEAD"):
        tags["mlflow.source.git.commit"] = commit
        tags["mlflow.source.git.dirty"] = "true" if _git("status", "--porcelain") else "false"
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return str(os.getuid())


def _git(*arguments: str) -> str:
    """What git says about this package's checkout; nothing where there is no git or no checkout."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


# --- where it goes ---------------------------------------------------------------------------


def _database(uri: str, directory: Path) -> Path | None:
    """The file of a local SQLite URI, None for a server. A relative one lies in `directory`."""
    if not uri.startswith("sqlite"):
        return None
    return directory / (make_url(uri).database or "mlflow.db")


@contextmanager
def _one_writer(uri: str, directory: Path) -> Iterator[None]:
    """Hold the lock beside the database; for a server, the one of this study."""
    database = _database(uri, directory) or directory / "mlflow.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):  # of the operating system: a killed process leaves none
        yield


def _open(uri: str, directory: Path) -> MlflowClient:
    """A client whose database exists and answers."""
    database = _database(uri, directory)
    try:
        if database is not None:
            uri = f"sqlite:///{database}"
            _initialise(database, directory)
        client = MlflowClient(tracking_uri=uri)
        client.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        raise TrackingUnavailable(_remedy(uri, error)) from error
    return client


def _initialise(database: Path, directory: Path) -> None:
    """Create `database` whole or not at all: MLflow's migrations, cut off, leave it unusable."""
    if database.exists():
        return
    new = database.with_name(f"{database.name}.new")
    # SQLite would replay a journal that a killed process left into the new database.
    for stale in (new, database):
        for suffix in ("", "-journal", "-wal", "-shm"):
            Path(f"{stale}{suffix}").unlink(missing_ok=True)
    _migrated(new, directory)
    new.replace(database)
    _migrated(database, directory)  # forget connections to a deleted database of this name


def _migrated(database: Path, directory: Path) -> None:
    """Bring `database` to MLflow's schema, and leave no connection to it open."""
    SqlAlchemyStore(f"sqlite:///{database}", str(directory / "mlruns")).engine.dispose()


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn the loss of a server in the middle into TrackingUnavailable, and no other error."""
    try:
        yield
    except MlflowException as error:
        lost = error.error_code == "TEMPORARILY_UNAVAILABLE" or (
            error.error_code == "INTERNAL_ERROR" and not isinstance(error, RestException)
        )
        if not lost:
            raise
        raise TrackingUnavailable(_remedy(uri, error)) from error


def _remedy(uri: str, error: Exception) -> str:
    """What is wrong with `uri` and what to do."""
    cause = (str(error) or type(error).__name__).splitlines()[0]
    if uri.startswith("sqlite"):
        remedy = (
            "if the file is damaged or from another MLflow, move it away, then run `make track`"
        )
    else:
        remedy = (
            "start it, then run `make track`; or choose another one "
            "(MLFLOW_TRACKING_URI, or mlflow.tracking_uri in config.yaml)"
        )
    return _without_password(
        f"MLflow at {uri} is not available: {remedy}. Nothing is lost: the results are in files, "
        f"and tracking continues where it stopped. Cause: {cause}"
    )


def _without_password(text: str) -> str:
    """`text` without the user and password of any URL in it."""
    return re.sub(r"//[^/\s@]+@", "//***@", text)


@contextmanager
def _old_objects_set_aside() -> Iterator[None]:
    """Keep the garbage collector from walking through all imported modules again and again.

    MLflow makes some 5,000 objects a run; this takes a sixth off the time of the whole.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _artifacts(uri: str, directory: Path, experiment: str) -> str | None:
    """Where a local experiment keeps its artifacts: absolute, since it is fixed once for all.

    A server decides for itself.
    """
    if _database(uri, directory) is None:
        return None
    return (directory / "mlruns" / re.sub(r"[^\w.-]+", "-", experiment)).as_uri()


def _experiment(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """The id of the experiment `name`, created, or restored from the bin, if need be."""
    # The kind makes the UI open on the runs instead of its GenAI pages.
    tags = {"mlflow.note.content": _NOTE, "mlflow.experimentKind": "custom_model_development"}
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifacts, tags)
        except MlflowException:  # another machine was faster
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    for tag in tags.keys() - found.tags.keys():  # what a person wrote there stays
        client.set_experiment_tag(found.experiment_id, tag, tags[tag])
    return found.experiment_id


# --- what is there, and what is missing ------------------------------------------------------


def _present(client: MlflowClient, experiment_id: str) -> dict[str, StoredRun]:
    """The experiment's runs by their key, each once.

    Two machines that write to one server hold different locks and may both create a run; all of
    them agree here on the one that stays.
    """
    present: dict[str, StoredRun] = {}
    for run in sorted(_search(client, experiment_id), key=_seniority):
        key = run.data.tags.get("run_key")
        if key in present:
            client.delete_run(run.info.run_id)
        elif key is not None:
            present[key] = run
    return present


def _seniority(run: StoredRun) -> tuple[bool, str]:
    """Complete runs first, then any order, as long as it is the same everywhere."""
    return run.info.status not in _COMPLETE, run.info.run_id


def _search(client: MlflowClient, experiment_id: str) -> Iterator[StoredRun]:
    """All runs of the experiment that are not deleted."""
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], "", ViewType.ACTIVE_ONLY, max_results=1000, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _write(
    client: MlflowClient,
    experiment_id: str,
    wanted: Mapping[str, TrackedRun],
    present: Mapping[str, StoredRun],
    curves: Path,
    points: int,
) -> dict[str, int]:
    """Create, complete or update each wanted run, and count what was done."""
    counts = {"created": 0, "completed": 0, "updated": 0, "already_there": 0}
    histories: dict[Cell, pd.DataFrame] | None = None
    for run in wanted.values():
        stored = present.get(run.key)
        if stored is not None and stored.info.status in _COMPLETE:
            counts["updated" if _update(client, run, stored) else "already_there"] += 1
            continue
        if histories is None:  # read only if a run lacks its curve
            histories = _histories(curves, wanted.values(), points)
        counts["created" if stored is None else "completed"] += 1
        run_id = stored.info.run_id if stored else _create(client, experiment_id, run)
        _fill(client, run_id, run, histories[run.cell])
        if (done := sum(counts.values())) % 50 == 0:
            logger.info("%d of %d runs are in MLflow", done, len(wanted))
    return counts


def _without_outdated(
    client: MlflowClient, wanted: Mapping[str, TrackedRun], present: Mapping[str, StoredRun]
) -> dict[str, StoredRun]:
    """`present`, after deleting unfinished runs of a training that the files no longer tell of."""
    outdated = {
        key
        for key, stored in present.items()
        if key in wanted
        and stored.info.status not in _COMPLETE
        and not _may_be_completed(wanted[key], stored)
    }
    for key in outdated:
        client.delete_run(present[key].info.run_id)
    return {key: stored for key, stored in present.items() if key not in outdated}


def _may_be_completed(run: TrackedRun, stored: StoredRun) -> bool:
    """Whether all that a run holds is still true, so that logging it again changes nothing."""
    data = stored.data
    return (
        stored.info.start_time == run.start
        and data.params.items() <= run.params.items()
        and all(data.metrics.get(name, value) == value for name, value in run.metrics.items())
    )


def _create(client: MlflowClient, experiment_id: str, run: TrackedRun) -> str:
    """A run with all its tags and nothing else, RUNNING; its id."""
    tags = {**run.tags, "superseded": "false"}
    return client.create_run(experiment_id, run.start, tags, run.name).info.run_id


def _fill(client: MlflowClient, run_id: str, run: TrackedRun, history: pd.DataFrame) -> None:
    """Log everything, then mark the run complete."""
    finals = [Metric(name, value, run.end, 0) for name, value in run.metrics.items()]
    metrics = finals + _curve_metrics(run, history)
    params = [Param(name, value) for name, value in run.params.items()]
    for first in range(0, max(len(metrics), 1), _BATCH):
        client.log_batch(run_id, metrics[first : first + _BATCH], params if first == 0 else [])
    client.set_terminated(run_id, run.status, run.end)


def _curve_metrics(run: TrackedRun, history: pd.DataFrame) -> list[Metric]:
    """The two curves, finite values only; times spread evenly over the block's training."""
    times = run.start + (run.end - run.start) * (history["epoch"] + 1) // run.epochs
    return [
        Metric(name, loss, at, epoch)
        for name, column in (("loss/train", "train_loss"), ("loss/test", "test_loss"))
        for loss, at, epoch in zip(
            history[column].tolist(), times.tolist(), history["epoch"].tolist(), strict=True
        )
        if abs(loss) < float("inf")
    ]


def _histories(curves: Path, runs: Iterable[TrackedRun], points: int) -> dict[Cell, pd.DataFrame]:
    """The losses of each cell at log-spaced epochs."""
    epochs = log_spaced_epochs(max(run.epochs for run in runs), points)
    table = pq.read_table(curves, filters=[("epoch", "in", epochs.tolist())]).to_pandas()
    return {Cell(*cell): group for cell, group in table.groupby(list(Cell._fields), sort=False)}


def _update(client: MlflowClient, run: TrackedRun, stored: StoredRun) -> bool:
    """Log those final metrics that the table now has otherwise; whether there were any.

    Another `analysis` (a threshold, a window) trains nothing, so the run and its key stay.
    """
    now = time.time_ns() // 1_000_000  # the latest value is the one that MLflow shows
    changed = [
        Metric(name, value, now, 0)
        for name, value in run.metrics.items()
        if stored.data.metrics.get(name) != value
    ]
    if changed:
        client.log_batch(stored.info.run_id, changed)
    return bool(changed)


def _mark_superseded(
    client: MlflowClient, wanted: Mapping[str, TrackedRun], present: Mapping[str, StoredRun]
) -> int:
    """Tag runs of this study whose cell now has another run; the number of them."""
    current = {(run.tags["study"], *map(str, run.cell)): key for key, run in wanted.items()}
    names = ("study", *Cell._fields)
    superseded = 0
    for key, stored in present.items():
        tags = stored.data.tags
        value = current.get(tuple(map(tags.get, names)), key) != key
        superseded += value
        if tags.get("superseded") != str(value).lower():
            client.set_tag(stored.info.run_id, "superseded", str(value).lower())
    return superseded
