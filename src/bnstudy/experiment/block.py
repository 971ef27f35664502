"""A training job: a block of seeds of one arm and width, from its dataset to its files."""

import hashlib
import json
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from bnstudy.data import Data
from bnstudy.features import MEASURES, measure
from bnstudy.files import (
    check_digests,
    digest_files,
    digests,
    read_data,
    read_json,
    read_parquet,
    read_tensors,
    write_json,
    write_parquet,
    write_tensors,
)
from bnstudy.measures import log_spaced_epochs
from bnstudy.networks import make_network
from bnstudy.training import Curves, Progress, Training

log = logging.getLogger(__name__)

# What determines a run's numbers. Where one of these changes, a run gets another key.
CODE = [Path(__file__).with_name(f"{m}.py") for m in ("data", "networks", "fused", "training")]
PACKAGES = ("torch", "numpy", "numba", "pyarrow", "snakemake")
STRETCH = 10_000  # epochs whose curves are held in memory; a row group of curves.parquet each


class BlockFiles(NamedTuple):
    """The files of a block, in the order in which they are written."""

    curves: Path
    measures: Path
    weights: Path
    record: Path


def train_block(
    dataset: Path, files: BlockFiles, *, arm: str, width: int, seeds: Sequence[int],
    settings: Mapping, measured: Mapping, start: BlockFiles | None = None,
) -> None:  # fmt: skip
    """Train the runs of `seeds` and write their curves, measures, checkpoint and record.

    `settings`: what `Study.run_settings` gives; `measured`: at how many log-spaced `points` of the
    training its features are measured, and `saturation` (see bnstudy.features). `start`: a block of
    the same runs with fewer epochs, from whose end to go on. One thread, so that results do not
    depend on the number of cores; jobs run side by side instead.
    """
    torch.set_num_threads(1)
    job = BlockTraining(read_data(dataset).select(seeds), arm, width, settings, measured)
    if start is not None:
        job.go_on_from(start)
    log.info("%s, width %d, %d seeds from %d", arm, width, len(seeds), seeds[0])
    write_parquet(files.curves, job.curves())
    write_parquet(files.measures, [job.measures()])
    write_tensors(files.weights, {n: t.numpy() for n, t in job.training.state().items()})
    write_json(files.record, job.record() | {"files": digests(files[:-1])})


class BlockTraining:
    """A block in training: runs it stretch by stretch and says what came out."""

    def __init__(self, data: Data, arm: str, width: int, settings: Mapping, measured: Mapping):
        self.arm, self.width, self.settings = arm, width, settings
        self.started = datetime.now(UTC)
        self.seconds = 0.0
        self.saturation = measured["saturation"]
        options = dict(settings["training"])
        self.epochs = options.pop("epochs")
        self.done = 0
        self.epochs_measured = log_spaced_epochs(self.epochs, measured["points"]).tolist()
        self.measured, self.earlier_curves, self.earlier_measures = [], [], []
        self.data = data.with_label_noise(settings.get("label_noise", 0.0))
        self.seeds = data.seeds.tolist()
        inputs = torch.from_numpy(data.train_inputs)
        layers = {name: settings[name] for name in ("batch_norm", "dropout") if name in settings}
        network = make_network(arm, width, self.seeds, inputs=inputs, **layers)
        self.training = Training(network, self.data, **options)

    def go_on_from(self, start: BlockFiles) -> None:
        """Continue where another block with the same runs and fewer epochs ended."""
        record = read_json(start.record)
        check_digests(start[:-1], record["files"])
        which = [record["seeds"].index(seed) for seed in self.seeds]
        state = read_tensors(start.weights)
        self.training.load({
            name: torch.from_numpy(array if array.ndim == 0 else array[which])
            for name, array in state.items()
        })  # fmt: skip
        self.done = record["settings"]["training"]["epochs"]
        self.seconds = record["seconds"] * len(which) / len(record["seeds"])
        self.epochs_measured = [e for e in self.epochs_measured if e >= self.done]
        self.earlier_curves = [_rows_of(start.curves, self.seeds)]
        self.earlier_measures = [_rows_of(start.measures, self.seeds)]

    def curves(self) -> Iterator[pa.Table]:
        """Train; tidy curves, a table a stretch of epochs, sorted by seed and epoch."""
        yield from self.earlier_curves
        progress = Progress(self.epochs - self.done, len(self.seeds))
        while self.done < self.epochs:
            first, end = self.done, min(self.epochs, self.done + STRETCH)
            pieces = [self._run_to(stop, progress) for stop in self._stops(end)]
            train, test = (np.concatenate(p, axis=1) for p in zip(*pieces, strict=True))
            warn_of_divergence(self.arm, self.width, self.seeds, first, train, test)
            yield self._table(range(first, end), {"train_loss": train, "test_loss": test})

    def measures(self) -> pa.Table:
        """Tidy measures, sorted by seed and epoch."""
        values = {n: np.stack([m[n] for m in self.measured], axis=1) for n in MEASURES}
        table = self._table(self.epochs_measured, values)
        rows = pa.concat_tables([*self.earlier_measures, table])
        return rows.sort_by([("seed", "ascending"), ("epoch", "ascending")])

    def record(self) -> dict:
        """What was trained, on what, with what, when and how long."""
        code = digest_files(CODE)
        return {
            "arm": self.arm,
            "width": self.width,
            "seeds": self.seeds,
            "run_keys": {
                seed: run_key(self.arm, self.width, seed, self.settings, code)
                for seed in self.seeds
            },
            "settings": self.settings,
            "code_digest": code,
            "dataset_digests": self.data.digests(),
            "started_at": self.started.isoformat(timespec="milliseconds"),
            "finished_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "seconds": self.seconds,
            "threads": 1,
            "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
            "machine": {"processor": processor(), "system": platform.platform()},
        }

    def _stops(self, end: int) -> list[int]:
        """Numbers of epochs after which to pause on the way to `end`: to measure, and `end`."""
        return sorted({e + 1 for e in self.epochs_measured if self.done <= e < end} | {end})

    def _run_to(self, stop: int, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
        """Train until `stop` epochs are done, and measure there if that is wanted."""
        curves: Curves = self.training.run(stop - self.done, progress)
        self.done = stop
        self.seconds += curves.seconds
        if stop - 1 in self.epochs_measured:
            test_inputs = torch.from_numpy(self.data.test_inputs)
            gradients = self.training.gradients()
            network = self.training.network
            self.measured.append(measure(network, test_inputs, gradients, self.saturation))
        return curves.train_loss, curves.test_loss

    def _table(self, epochs: Sequence[int], values: Mapping[str, np.ndarray]) -> pa.Table:
        """Tidy: one row a (seed, epoch), sorted; values (R, epochs) by column."""
        rows = len(self.seeds) * len(epochs)
        return pa.table({
            "arm": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), [self.arm]),
            "width": np.full(rows, self.width),
            "seed": np.repeat(np.array(self.seeds), len(epochs)),
            "epoch": np.tile(np.array(epochs), len(self.seeds)),
            **{name: array.ravel() for name, array in values.items()},
        })  # fmt: skip


def run_key(arm: str, width: int, seed: int, settings: dict, code: str) -> str:
    """A run's name, made of all that determines its result (`code`: a digest of the modules)."""
    content = json.dumps([settings, code], sort_keys=True).encode()
    return f"{arm}-w{width}-s{seed}-{hashlib.sha256(content).hexdigest()[:12]}"


def _rows_of(path: Path, seeds: Sequence[int]) -> pa.Table:
    """The rows of these seeds in a block's parquet file."""
    table = read_parquet(path)
    return table.filter(pc.is_in(table["seed"], pa.array(seeds)))


def processor() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def warn_of_divergence(
    arm: str, width: int, seeds: Sequence[int], first: int, train: np.ndarray, test: np.ndarray
) -> None:
    """Name in the log every run that has a non-finite loss; losses (R, epochs), from `first` on."""
    finite = np.isfinite(train) & np.isfinite(test)
    for index in np.flatnonzero(~finite.all(axis=1)):
        epoch = first + finite[index].argmin()
        log.warning("%s, width %d, seed %d diverged at epoch %d", arm, width, seeds[index], epoch)
