"""A training job: the runs of a cell on a block of seeds, from their dataset to their files."""

import hashlib
import json
import logging
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from bnstudy.config.cell import ARTICLE, UNTUNED
from bnstudy.experiment.data import Data, read_data
from bnstudy.experiment.layers import build_network
from bnstudy.experiment.training import Curves, Training
from bnstudy.files import (
    DamagedFile,
    atomic,
    check_digests,
    digests,
    parquet_writer,
    read_json,
    read_parquet,
    read_tensors,
    write_json,
    write_tensors,
)

log = logging.getLogger(__name__)

PACKAGES = ("torch", "numpy", "numba", "pyarrow", "snakemake")
CHUNK_EPOCHS = 10_000  # epochs whose curves are held in memory; a row group of curves.parquet each
CURVES = pa.schema(
    {
        "seed": pa.int64(),
        "epoch": pa.int64(),
        "train_loss": pa.float64(),
        "test_loss": pa.float64(),
        "train_loss_eval": pa.float64(),  # for minibatches only, as is
        "steps": pa.int64(),  # optimizer steps done after the epoch
    }
)
# Left out of a run's key where they are as here.
USUAL = {**ARTICLE, "arm_settings": {}, "task_settings": {}, "optimizer_settings": {}}


class BlockFiles(NamedTuple):
    """The files of a block, in the order in which they are written."""

    curves: Path
    snapshots: Path
    checkpoint: Path
    record: Path


def train_block(
    dataset: str | Path,
    files: BlockFiles,
    *,
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    code: str,
    snapshot_epochs: Sequence[int],
    resume_from: BlockFiles | None = None,
) -> None:
    """Train the runs of `seeds` and write their curves, snapshots, checkpoint and record.

    `settings`: those of the job, its cell's and all that its members need; `code`: a digest of the
    code that trains it; `snapshot_epochs`: after which epochs the networks are saved.
    `resume_from`: a block of the same runs, and maybe more, with fewer epochs, from whose end to go
    on. One thread, so that results do not depend on the number of cores; jobs run side by side.
    """
    torch.set_num_threads(1)
    started, seconds = datetime.now(UTC), 0.0
    data = read_data(dataset).select(seeds).with_label_noise(settings["label_noise"])
    training = make_training(data, settings)
    earlier = Earlier(resume_from, seeds) if resume_from else None
    if earlier:
        training.resume(earlier.checkpoint(), earlier.epochs)
        seconds = earlier.seconds
    log.info("%s, %d seeds from %d", settings["cell"], len(seeds), seeds[0])

    epochs, snapshots = settings["epochs"], Snapshots(training, snapshot_epochs)
    progress = Progress(epochs - training.epochs_done, len(seeds))
    with parquet_writer(files.curves, CURVES) as write:
        for table in earlier.curves() if earlier else ():
            write(table)
        while training.epochs_done < epochs:
            chunk = range(training.epochs_done, min(training.epochs_done + CHUNK_EPOCHS, epochs))
            start, losses = time.perf_counter(), []
            for epoch in chunk:
                losses.append(training.epoch())  # on a GPU nothing waits here
                if epoch in snapshots.wanted:
                    snapshots.take(epoch)
                progress.report()
            curves = training.curves(losses)
            seconds += time.perf_counter() - start
            warn_of_divergence(settings["cell"], seeds, chunk, curves)
            write(curves_table(seeds, chunk, curves, len(training.steps)))
    ours = snapshots.arrays
    write_tensors(files.snapshots, earlier.snapshots_with(ours) if earlier else ours)
    write_tensors(files.checkpoint, {n: t.numpy() for n, t in training.state().items()})
    record = {
        "settings": settings,
        "seeds": list(seeds),
        "run_keys": {seed: run_key(settings, seed, code) for seed in seeds},
        "code_digest": code,
        "dataset_digests": data.digests(),
        "started_at": started.isoformat(timespec="milliseconds"),
        "finished_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "seconds": seconds,
        "threads": 1,
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "machine": {"processor": processor(), "system": platform.platform()},
    }
    write_json(files.record, record | {"files": digests(files[:-1])})


def train_block_once(
    kept: Path,
    choice: Path,
    dataset: str | Path,
    files: BlockFiles,
    *,
    seeds: Sequence[int],
    settings: Mapping[str, Any],
    code: str,
    snapshot_epochs: Sequence[int],
) -> None:
    """`train_block` with the settings that tuning chose, unless the same runs were trained before.

    So they were where it chooses the same for two objectives, or still the same after more rates
    were tried. `kept`: the folder where runs lie by their content; `choice`: the chosen settings.
    """
    settings = {**settings, **read_json(choice)}
    keys = {seed: run_key(settings, seed, code) for seed in seeds}
    content = [(seed, key.rpartition("-")[-1]) for seed, key in keys.items()]
    name = hashlib.sha256(json.dumps([content, list(snapshot_epochs)]).encode()).hexdigest()[:16]
    same = BlockFiles(*(kept / name / path.name for path in files))
    try:
        check_digests(same[:-1], read_json(same.record)["files"])
        log.info("%s: trained before, see %s", settings["cell"], same.record.parent)
    except (FileNotFoundError, DamagedFile):
        options: Any = {"settings": settings, "code": code, "snapshot_epochs": snapshot_epochs}
        train_block(dataset, same, seeds=seeds, **options)
    for source, path in zip(same[:-1], files[:-1], strict=True):
        with atomic(path) as temporary:
            shutil.copyfile(source, temporary)
    write_json(files.record, read_json(same.record) | {"settings": settings, "run_keys": keys})


def make_training(data: Data, settings: Mapping[str, Any]) -> Training:
    """The untrained networks of a job on their data."""
    inputs = torch.from_numpy(data.train_inputs)
    network = build_network(
        settings["arm"], settings["width"], data.seeds.tolist(), inputs, settings
    )
    names = ("optimizer", "optimizer_settings", "learning_rate", "schedule", "epochs")
    options = {name: settings[name] for name in (*names, "batch_size", "device")}
    return Training(network, data, **options)


class Earlier:
    """What a block with fewer epochs holds of the runs of `seeds`."""

    def __init__(self, files: BlockFiles, seeds: Sequence[int]):
        record = read_json(files.record)
        check_digests(files[:-1], record["files"])
        self.files, self.seeds = files, list(seeds)
        self.rows = [record["seeds"].index(seed) for seed in seeds]
        self.epochs = record["settings"]["epochs"]
        self.seconds = record["seconds"] * len(seeds) / len(record["seeds"])

    def checkpoint(self) -> dict[str, torch.Tensor]:
        """Their state at the end (see `Training.state`)."""
        return {
            name: torch.from_numpy(array if array.ndim == 0 else array[self.rows])
            for name, array in read_tensors(self.files.checkpoint).items()
        }

    def curves(self) -> list[pa.Table]:
        """Their curves, a table for each chunk."""
        table = read_parquet(self.files.curves, seed=self.seeds)
        chunk = pc.divide(table["epoch"], CHUNK_EPOCHS)
        return [table.filter(pc.equal(chunk, number)) for number in sorted(set(chunk.to_pylist()))]

    def snapshots_with(self, later: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Their snapshots, and `later` ones behind them."""
        arrays = read_tensors(self.files.snapshots)
        first = {n: a if n == "epoch" else a[:, self.rows] for n, a in arrays.items()}
        return {name: np.concatenate([first[name], array]) for name, array in later.items()}


class Snapshots:
    """The snapshots of those of the epochs `wanted` that are still to come, as arrays with leading
    axes (epoch, seed); their memory is filled while training goes on, and never copied."""

    def __init__(self, training: Training, wanted: Sequence[int]):
        self.training = training
        self.wanted = [epoch for epoch in wanted if epoch >= training.epochs_done]
        self.arrays = {"epoch": np.array(self.wanted, dtype=np.int64)}
        for name, like in training.snapshot().items():
            self.arrays[name] = np.empty((len(self.wanted), *like.shape))

    def take(self, epoch: int) -> None:
        """The networks as they are now, after `epoch`."""
        place = self.wanted.index(epoch)
        for name, tensor in self.training.snapshot().items():
            self.arrays[name][place] = tensor.numpy()


def curves_table(
    seeds: Sequence[int], epochs: range, curves: Curves, steps_per_epoch: int
) -> pa.Table:
    """Tidy: one row per seed and epoch, sorted by both."""
    rows = len(seeds) * len(epochs)
    epoch = np.tile(np.array(epochs), len(seeds))
    nothing = pa.nulls(rows)
    evaluated = curves.train_loss_eval
    columns = {
        "seed": _column(np.repeat(np.array(seeds), len(epochs))),
        "epoch": _column(epoch),
        "train_loss": _column(curves.train_loss.ravel()),
        "test_loss": _column(curves.test_loss.ravel()),
        "train_loss_eval": nothing if evaluated is None else _column(evaluated.ravel()),
        "steps": nothing if evaluated is None else _column((epoch + 1) * steps_per_epoch),
    }
    return pa.table(columns).cast(CURVES)


def _column(values: np.ndarray) -> pa.Array:
    """As `pa.array(values)`, which would import pandas, a tenth of a job's start."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(values))]
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), buffers)


def run_key(settings: Mapping[str, Any], seed: int, code: str) -> str:
    """A run's name, made of all that determines its result; the last part is without the cell's."""
    free = ("cell", "device", *UNTUNED)  # the name of the rest; what no result depends on
    matter = {n: v for n, v in settings.items() if n not in free and v != USUAL.get(n)}
    content = json.dumps([matter, code], sort_keys=True).encode()
    return f"{settings['cell']}-s{seed}-{hashlib.sha256(content).hexdigest()[:12]}"


def processor() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def warn_of_divergence(cell: str, seeds: Sequence[int], epochs: range, curves: Curves) -> None:
    """Name in the log every run that has a non-finite loss."""
    finite = np.isfinite(curves.train_loss) & np.isfinite(curves.test_loss)
    for index in np.flatnonzero(~finite.all(axis=1)).tolist():
        epoch = epochs[finite[index].argmin()]
        log.warning("%s, seed %d diverged at epoch %d", cell, seeds[index], epoch)


class Progress:
    """Says in the log, every few seconds, how far a block is and how long it still takes."""

    def __init__(self, epochs: int, models: int, every: float = 5.0):
        self.epochs, self.models, self.every = epochs, models, every
        self.done = 0
        self.start = self.last = time.perf_counter()

    def report(self) -> None:
        """Call after every epoch."""
        self.done += 1
        now = time.perf_counter()
        if now - self.last < self.every and self.done < self.epochs:
            return
        self.last = now
        cost = (now - self.start) / self.done
        said = "epoch %d of %d, %.3f ms per model-epoch, %.0f s left"
        left = cost * (self.epochs - self.done)
        log.info(said, self.done, self.epochs, 1000 * cost / self.models, left)
