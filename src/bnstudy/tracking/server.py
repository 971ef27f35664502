"""Where the runs go: the tracking URI, its lock, its database, its experiment, and remedies."""

import gc
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from mlflow.exceptions import MlflowException, RestException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError


class TrackingUnavailable(RuntimeError):
    """MLflow cannot be reached, opened or written; the message names the URI and the remedy."""


def chosen_uri(tracking_uri: str) -> str:
    """MLFLOW_TRACKING_URI where set and not empty, else `tracking_uri`.

    The environment wins, as it does over defaults elsewhere in MLflow: config.yaml always names a
    URI, and a person who exports the variable means this machine.
    """
    return os.environ.get("MLFLOW_TRACKING_URI") or tracking_uri


def full_uri(uri: str, directory: Path) -> str:
    """`uri`; a relative SQLite file lies in `directory`, as for an `mlflow ui` started there."""
    database = database_of(uri, directory)
    return uri if database is None else f"sqlite:///{database}"


@contextmanager
def writing(uri: str, directory: Path) -> Iterator[MlflowClient]:
    """A client for the one writer at a time.

    Holds the lock beside the database (for a server: the one of this study). Raises
    TrackingUnavailable if MLflow cannot be opened, or is lost in the middle.
    """
    database = database_of(uri, directory) or directory / "mlflow.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    # The lock is of the operating system: a killed process leaves none.
    with FileLock(f"{database}.lock"), _explained(uri):
        client = _open(uri, directory)
        # Keep the garbage collector from walking through all imported modules again and again:
        # MLflow makes some 5,000 objects a run; this takes a sixth off the time of the whole.
        gc.freeze()
        try:
            yield client
        finally:
            gc.unfreeze()


def experiment(client: MlflowClient, name: str, uri: str, directory: Path) -> str:
    """The id of the experiment `name`, created, or restored from the bin, if need be.

    Its artifacts lie in `directory`, by an absolute path that is fixed once for all; a server
    decides for itself.
    """
    # The kind makes the UI open on the runs instead of its GenAI pages.
    tags = {"mlflow.experimentKind": "custom_model_development"}
    found = client.get_experiment_by_name(name)
    if found is None:
        folder = (directory / "mlruns" / re.sub(r"[^\w.-]+", "-", name)).as_uri()
        return client.create_experiment(name, folder if database_of(uri, directory) else None, tags)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id


def without_password(text: str) -> str:
    """`text` without the user and password of any URL in it."""
    return re.sub(r"//[^/\s@]+@", "//***@", text)


def database_of(uri: str, directory: Path) -> Path | None:
    """The file of a local SQLite URI, None for a server."""
    if not uri.startswith("sqlite"):
        return None
    return directory / (make_url(uri).database or "mlflow.db")


def _open(uri: str, directory: Path) -> MlflowClient:
    """A client whose database exists and answers."""
    database = database_of(uri, directory)
    try:
        if database is not None:
            _initialise(database, directory)
        client = MlflowClient(full_uri(uri, directory))
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


class NotWritten(OSError):
    """An artifact could not be stored: the disk is full, or its server is gone."""


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn the loss of a server or of its disk into TrackingUnavailable, and no other error."""
    try:
        yield
    except (NotWritten, MlflowException) as error:
        code = getattr(error, "error_code", "TEMPORARILY_UNAVAILABLE")
        refused = isinstance(error, RestException)  # a server that is there
        if code != "TEMPORARILY_UNAVAILABLE" and (code != "INTERNAL_ERROR" or refused):
            raise
        raise TrackingUnavailable(_remedy(uri, error)) from error


def _remedy(uri: str, error: Exception) -> str:
    """What is wrong with `uri` and what to do."""
    cause = (str(error) or type(error).__name__).splitlines()[0][:300]
    remedy = (
        "if the file is damaged or from another MLflow, move it away, then run `make track`"
        if uri.startswith("sqlite")
        else "start it, then run `make track`; or choose another one (MLFLOW_TRACKING_URI, or "
        "mlflow.tracking_uri in config.yaml)"
    )
    return without_password(
        f"MLflow at {uri} is not available: {remedy}. Nothing is lost: the results are in files, "
        f"and tracking continues where it stopped. Cause: {cause}"
    )
