"""Brings MLflow up to date with what `plan` says, any number of times.

A run is found again by its tag `run_key`. It is created RUNNING, filled, and marked FINISHED (or
FAILED, if it diverged) last, under a lock; so whoever finds it unfinished finishes it, and a run
that is FINISHED is whole. Times are the record's: logging the same value twice is a no-op.
"""

import getpass
import hashlib
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.entities import Metric, Param, RunTag
from mlflow.entities import Run as StoredRun
from mlflow.tracking import MlflowClient
from mlflow.utils import get_results_from_paginated_fn
from mlflow.utils.git_utils import get_git_commit

from bnstudy.config.models import Study
from bnstudy.files import read_csv
from bnstudy.tracking import notes, server, views
from bnstudy.tracking.plan import Sources, TrackedRun, expected_runs, expected_study
from bnstudy.tracking.server import NotWritten, TrackingUnavailable

log = logging.getLogger(__name__)

COMPLETE = ("FINISHED", "FAILED")
OURS = "tags.run_key LIKE '%'"  # a filter: not what a person logged there
BATCH = 880  # metrics a request; MLflow takes 1000 entities, among them 100 parameters, some tags


def track_if_available(*arguments: Any, **options: Any) -> dict[str, Any]:
    """The receipt of `track`; where MLflow is not available, one that says so, and the remedy.

    So that the study goes on, and what is missing can be tracked later.
    """
    try:
        return {"tracked": True, **track(*arguments, **options)}
    except TrackingUnavailable as error:
        log.warning("%s", error)
        return {"tracked": False, "missing": str(error)}


def track(
    runs: pd.DataFrame,
    records: Iterable[str | Path],
    study: Study,
    directory: str | Path,
    *,
    experiments: pd.DataFrame,
    scope: str = "",
    files: Iterable[str | Path] = (),
    progress: Mapping[str, float] | None = None,
    cells: Collection[str] | None = None,
) -> dict[str, Any]:
    """Bring the study's experiment up to date with the files of a scope and return a receipt.

    `runs` is the table runs.csv, `experiments` experiments.csv of the `scope` ("" or "extended/"),
    `records` the paths of the blocks' record.json, each beside its block's other files. `files`:
    what the scope's own run shows (figures, tables, pages); without any there is none yet.
    `progress`: cells that still train, by name, with their share done; then nothing is marked
    superseded or abandoned. `cells`: the only ones to look at, by name.

    A relative SQLite URI lies in `directory`, the study's, as for an `mlflow ui` started there. The
    environment variable MLFLOW_TRACKING_URI, where set, replaces the study's `tracking_uri`.

    The receipt counts the runs `created`, `completed` (left unfinished by a process that died),
    `updated` (a number, tag or file has changed), `already_there`, in `total`, those `superseded`
    and those `abandoned` (unfinished, and nobody will).

    Raises TrackingUnavailable if MLflow cannot be reached, opened or written, MissingRecord if a
    run has no record. Whatever was written until then stays, and the next call continues there.
    """
    began = time.monotonic()
    directory = Path(directory).resolve()
    uri = server.chosen_uri(study.mlflow.tracking_uri)
    sources = Sources(study, directory, map(Path, records), experiments)
    wanted = expected_runs(runs, sources, progress or {}, runs.cell if cells is None else cells)
    where = [OURS] if cells is None else [f"{OURS} and tags.cell = '{cell}'" for cell in cells]
    claims = None
    if shown := [path for path in map(Path, files) if path.exists()]:
        claims = next((read_csv(path) for path in shown if path.name == "claims.csv"), None)
        wanted.append(expected_study(study, shown, claims, scope, wanted))
    name = study.mlflow.experiment
    elsewhere = set(study.experiments.names) - set(experiments.experiment)
    with server.writing(uri, directory) as client:
        experiment_id = server.experiment(client, name, uri, directory)
        importer = Importer(client, experiment_id, elsewhere, where)
        importer.write(wanted)
        counts = dict(importer.counts)
        if progress is None:
            counts |= importer.mark_superseded(wanted)
            importer.describe_experiment(study, claims)
    return {
        "tracking_uri": server.without_password(uri),
        "experiment": name,
        "experiment_id": importer.experiment_id,
        **dict.fromkeys(("created", "completed", "updated", "already_there"), 0),
        **counts,
        "total": len(wanted),
        "seconds": round(time.monotonic() - began, 1),
    }


def abandon(uri: str, experiment: str, directory: Path) -> None:
    """Set what is RUNNING in the experiment to KILLED, where it is this importer's.

    For who stops importing before the study is done; `track` takes up such a run again.
    """
    with server.writing(uri, directory) as client:
        found = client.get_experiment_by_name(experiment)
        left = f"{OURS} and attributes.status = 'RUNNING'"
        for run in client.search_runs([found.experiment_id], left) if found else []:
            client.set_terminated(run.info.run_id, "KILLED")


def origin() -> dict[str, str]:
    """MLflow's own tags: who tracked, from which checkout (what trained is in `code_digest`)."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = str(os.getuid())
    tags = {"mlflow.source.name": "bnstudy", "mlflow.source.type": "LOCAL", "mlflow.user": user}
    commit = get_git_commit(__file__)
    return tags | ({"mlflow.source.git.commit": commit} if commit else {})


class Importer:
    """One writer's view of an experiment: what is there, and what it did.

    `elsewhere`: the study's experiments that the scope at hand leaves out; of what they ask for it
    says nothing. `where`: filters of MLflow for the runs to look at.
    """

    def __init__(
        self, client: MlflowClient, experiment_id: str, elsewhere: set[str], where: Iterable[str]
    ) -> None:
        self.client, self.experiment_id, self.elsewhere = client, experiment_id, elsewhere
        search = partial(client.search_runs, [experiment_id])
        pages = (lambda n, token, w=w: search(w, max_results=n, page_token=token) for w in where)
        stored = [run for page in pages for run in get_results_from_paginated_fn(page, 1000)]
        self.present: dict[str, StoredRun] = {}
        for run in sorted(stored, key=lambda run: run.info.status not in COMPLETE):
            # A restored experiment brings back what had been deleted from it: keep the whole one.
            if self.present.setdefault(run.data.tags["run_key"], run) is not run:
                client.delete_run(run.info.run_id)
        self.ids = {key: run.info.run_id for key, run in self.present.items()}
        self.counts: Counter[str] = Counter()
        self.origin = origin()
        self.left_alone: set[str] = set()

    def write(self, wanted: Sequence[TrackedRun]) -> None:
        """Create, complete or update each run: parents exist before their children do, and are
        finished after them."""
        self.left_alone = {run.key for run in wanted if self._has_more(run)}
        self._drop_outdated(wanted)
        for parent in (run for run in wanted if run.level == "cell"):
            self._ensure(parent)
        for run in sorted(wanted, key=lambda run: ("seed", "cell", "study").index(run.level)):
            self._bring_up_to_date(run)
            if (done := self.counts.total()) % 50 == 0:
                log.info("%d of %d runs are in MLflow", done, len(wanted))

    def mark_superseded(self, wanted: Sequence[TrackedRun]) -> dict[str, int]:
        """Mark what other runs have superseded, and abandon what nobody will finish."""
        keys = {run.key for run in wanted}
        current = {_slot(self._tags(run)): run.key for run in wanted}
        counts = Counter(superseded=0, abandoned=0)
        for key, stored in self.present.items():
            tags, slot = stored.data.tags, _slot(stored.data.tags)
            # A run without a cell is of a study before there were cells.
            superseded = current.get(slot, key if slot[-1] else None) != key
            unfinished = stored.info.status == "RUNNING" and key not in keys
            counts["superseded"] += superseded
            if tags.get("superseded") != str(superseded).lower():
                self.client.set_tag(stored.info.run_id, "superseded", str(superseded).lower())
            if unfinished and (superseded or not self._of_another_scope(tags)):
                counts["abandoned"] += 1
                self.client.set_terminated(stored.info.run_id, "KILLED")
        return dict(counts)

    def describe_experiment(self, study: Study, claims: pd.DataFrame | None) -> None:
        """Write the experiment's description, unless a person wrote another one, and its views."""
        experiment = self.client.get_experiment(self.experiment_id)
        tags = views.shared(study)
        links = views.links(self.experiment_id)
        if claims is not None or "mlflow.note.content" not in experiment.tags:
            note = notes.experiment_note(claims, study.analysis.primary.width, links)
            tags |= _note_tags(note, experiment.tags)
        for name, value in tags.items():
            if experiment.tags.get(name) != value:
                self.client.set_experiment_tag(self.experiment_id, name, value)

    # --- one run ---

    def _bring_up_to_date(self, run: TrackedRun) -> None:
        stored = self.present.get(run.key)
        if stored is not None and stored.info.status in COMPLETE:
            # While it trains anew or on, what was whole before stays as it was.
            stays = run.status == "RUNNING" or self.left_alone & {run.key, run.parent}
            updated = not stays and self._update(run, stored)
            self.counts["updated" if updated else "already_there"] += 1
            return
        self._ensure(run)
        if run.status == "RUNNING":
            self._report_progress(run, stored)
            return
        self._fill(run, stored)
        self.counts["created" if stored is None else "completed"] += 1

    def _ensure(self, run: TrackedRun) -> None:
        """Create the run, RUNNING, with its tags and nothing else, where it is not there."""
        if run.key in self.ids:
            return
        tags = {**self.origin, **self._tags(run), "superseded": "false"}
        created = self.client.create_run(self.experiment_id, run.start, tags, run.name)
        self.ids[run.key] = created.info.run_id

    def _fill(self, run: TrackedRun, stored: StoredRun | None) -> None:
        """Log everything, then mark the run complete."""
        run_id = self.ids[run.key]
        # Of several values MLflow shows the latest: a later update is later than the start.
        metrics = [Metric(name, value, run.start, 0) for name, value in run.metrics.items()]
        metrics += _curve_metrics(run)
        if stored is not None and "progress" in stored.data.metrics:
            metrics.append(Metric("progress", 1.0, time.time_ns() // 1_000_000, 0))
        params = [Param(name, value) for name, value in run.params.items()]
        tags = self._tags(run) | _note_tags(run.note(self.ids, self.experiment_id), {})
        head: tuple[Any, ...] = (params, [RunTag(name, value) for name, value in tags.items()])
        for first in range(0, max(len(metrics), 1), BATCH):
            self.client.log_batch(run_id, metrics[first : first + BATCH], *head)
            head = ()
        if datasets := run.datasets():
            self.client.log_inputs(run_id, datasets)
        self._upload(run)
        self.client.set_terminated(run_id, run.status, run.end)

    def _update(self, run: TrackedRun, stored: StoredRun) -> bool:
        """Log what the files now say otherwise; whether there was anything.

        Another `analysis` (a threshold, a window) trains nothing, so the run and its key stay.
        """
        now = time.time_ns() // 1_000_000  # the latest value is the one that MLflow shows
        old = stored.data
        moved = (item for item in run.metrics.items() if old.metrics.get(item[0]) != item[1])
        metrics = [Metric(name, value, now, 0) for name, value in moved]
        tags = self._tags(run, old.tags)
        tags |= _note_tags(run.note(self.ids, self.experiment_id), old.tags)
        changed = [RunTag(n, value) for n, value in tags.items() if old.tags.get(n) != value]
        if run.files_name != old.tags.get("files"):
            self._upload(run)
        if metrics or changed:
            self.client.log_batch(stored.info.run_id, metrics, tags=changed)
        return bool(metrics or changed)

    def _report_progress(self, run: TrackedRun, stored: StoredRun | None) -> None:
        """How much of a cell is trained, where that has moved."""
        share = run.progress or 0.0
        before = stored.data.metrics.get("progress", -1) if stored else -1
        if abs(share - before) >= 0.01:
            self.client.log_metric(self.ids[run.key], "progress", share)
        if stored is not None and stored.info.status != "RUNNING":  # abandoned, and taken up again
            self.client.update_run(stored.info.run_id, "RUNNING")

    def _upload(self, run: TrackedRun) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for path, place in run.files(Path(folder)):
                send = self.client.log_artifacts if path.is_dir() else self.client.log_artifact
                try:
                    send(self.ids[run.key], str(path), place)
                except OSError as error:
                    raise NotWritten(f"cannot store {path.name}: {error}") from error

    def _tags(self, run: TrackedRun, old: Mapping[str, str] | None = None) -> dict[str, str]:
        """The tags that are kept true; `old`: those there, which another scope may have written."""
        tags = {"run_key": run.key, "level": run.level, **run.tags, "files": run.files_name}
        named = self.elsewhere & _experiments(old or {})
        if named := named.union(run.experiments):
            tags["experiments"] = ",".join(sorted(named))
        if run.parent:
            tags["mlflow.parentRunId"] = self.ids[run.parent]
        return tags

    def _of_another_scope(self, tags: Mapping[str, str]) -> bool:
        """Whether an experiment that the scope at hand leaves out asks for a run."""
        return bool(self.elsewhere & _experiments(tags))

    def _has_more(self, run: TrackedRun) -> bool:
        """Whether a stored cell has runs of another scope, more than in the scope at hand: it and
        its children are left to that scope."""
        if run.level != "cell" or run.key not in self.present:
            return False
        data = self.present[run.key].data
        more = data.metrics.get("runs", 0) > run.metrics["runs"]
        return more and self._of_another_scope(data.tags)

    # --- what is there ---

    def _drop_outdated(self, wanted: Iterable[TrackedRun]) -> None:
        """Delete what cannot be brought up to date: curves once logged stay."""
        for run in wanted:
            stored = self.present.get(run.key)
            if stored is None or run.status == "RUNNING" or run.key in self.left_alone:
                continue
            if _outdated(run, stored):
                self.client.delete_run(stored.info.run_id)
                del self.present[run.key], self.ids[run.key]


def _outdated(run: TrackedRun, stored: StoredRun) -> bool:
    """Whether a run holds curves, times or values that its files no longer tell of."""
    data = stored.data
    if run.level == "cell" and "loss/train" in data.metrics:  # other seeds, other medians
        return data.tags.get("files") != run.files_name
    if run.level != "seed" or stored.info.status in COMPLETE:
        return False
    return not (
        stored.info.start_time == run.start
        and data.params.items() <= run.params.items()
        and all(data.metrics.get(name, value) == value for name, value in run.metrics.items())
    )


def _slot(tags: Mapping[str, str]) -> tuple[str | None, ...]:
    """What a run is about: another run of the same slot supersedes it."""
    about = tags.get("cell") or tags.get("scope")
    return tags.get("study"), tags.get("level"), tags.get("seed"), about


def _experiments(tags: Mapping[str, str]) -> set[str]:
    return set(tags.get("experiments", "").split(","))


def _curve_metrics(run: TrackedRun) -> list[Metric]:
    """The curves, finite values only; times spread evenly over the training."""
    curves = run.curves()
    if curves.empty:
        return []
    epochs = curves.index.to_numpy()
    times = (run.start + (run.end - run.start) * (epochs + 1) // int(run.params["epochs"])).tolist()
    return [
        Metric(str(name), value, at, epoch)
        for name, values in curves.items()
        for value, at, epoch in zip(values.tolist(), times, epochs.tolist(), strict=True)
        if abs(value) < float("inf")
    ]


def _note_tags(note: str, stored: Mapping[str, str]) -> dict[str, str]:
    """The tags of a description; none where a person has written another one since ours."""
    digest = hashlib.sha256(note.encode()).hexdigest()
    there = stored.get("mlflow.note.content")
    if there is not None and hashlib.sha256(there.encode()).hexdigest() != stored.get("note"):
        return {}
    return {"mlflow.note.content": note, "note": digest}
