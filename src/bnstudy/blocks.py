"""A training job: a block of seeds of one arm and width, from its dataset to its files."""

import hashlib
import json
import logging
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from bnstudy.data import Data
from bnstudy.files import digest_files, read_data, write_json, write_parquet, write_tensors
from bnstudy.networks import make_network
from bnstudy.training import Curves, checkpoint, train

log = logging.getLogger(__name__)

# What determines a run's numbers. Where one of these changes, a run gets another key.
CODE = [Path(__file__).with_name(f"{m}.py") for m in ("data", "networks", "fused", "training")]
PACKAGES = ("torch", "numpy", "numba", "pyarrow", "snakemake")


def train_block(
    dataset: Path, curves: Path, weights: Path, record: Path,
    *, arm: str, width: int, seeds: Sequence[int], settings: dict,
) -> None:  # fmt: skip
    """Train the runs of `seeds` and write their curves, checkpoint and record, in this order.

    `settings`: what `Study.run_settings(arm)` gives. One thread, so that results do not depend on
    the number of cores; jobs run side by side instead.
    """
    torch.set_num_threads(1)
    started = datetime.now(UTC)
    data = read_data(dataset).select(seeds)
    network = make_network(arm, width, seeds, settings.get("batch_norm"))
    log.info("%s, width %d, %d seeds from %d", arm, width, len(seeds), seeds[0])
    result, optimizer = train(network, data, **settings["training"])
    warn_of_divergence(arm, width, seeds, result)
    write_parquet(curves, [curves_table(arm, width, seeds, result)])
    state = checkpoint(network, optimizer)
    write_tensors(weights, {name: tensor.numpy() for name, tensor in state.items()})
    details = describe(arm, width, data, settings, started, result.seconds)
    write_json(record, details)


def run_key(arm: str, width: int, seed: int, settings: dict, code: str) -> str:
    """A run's name, made of all that determines its result (`code`: a digest of the modules)."""
    content = json.dumps([settings, code], sort_keys=True).encode()
    return f"{arm}-w{width}-s{seed}-{hashlib.sha256(content).hexdigest()[:12]}"


def curves_table(arm: str, width: int, seeds: Sequence[int], curves: Curves) -> pa.Table:
    """Tidy: one row a (seed, epoch), sorted."""
    epochs = curves.train_loss.shape[1]
    rows = len(seeds) * epochs
    return pa.table({
        "arm": pa.DictionaryArray.from_arrays(np.zeros(rows, np.int8), [arm]),
        "width": np.full(rows, width),
        "seed": np.repeat(np.array(seeds), epochs),
        "epoch": np.tile(np.arange(epochs), len(seeds)),
        "train_loss": curves.train_loss.ravel(),
        "test_loss": curves.test_loss.ravel(),
    })  # fmt: skip


def describe(
    arm: str, width: int, data: Data, settings: dict, started: datetime, seconds: float
) -> dict:
    """The block's record: what was trained, on what, with what, when and how long."""
    code, seeds = digest_files(CODE), data.seeds.tolist()
    return {
        "arm": arm,
        "width": width,
        "seeds": seeds,
        "run_keys": {seed: run_key(arm, width, seed, settings, code) for seed in seeds},
        "settings": settings,
        "code_digest": code,
        "dataset_digests": data.digests(),
        "started_at": started.isoformat(timespec="milliseconds"),
        "finished_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "seconds": seconds,
        "threads": 1,
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
        "machine": {"processor": processor(), "system": platform.platform()},
    }


def processor() -> str:
    """The processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def warn_of_divergence(arm: str, width: int, seeds: Sequence[int], curves: Curves) -> None:
    """Name in the log every run that has a non-finite loss."""
    finite = np.isfinite(curves.train_loss) & np.isfinite(curves.test_loss)
    for index in np.flatnonzero(~finite.all(axis=1)):
        epoch = finite[index].argmin()
        log.warning("%s, width %d, seed %d diverged at epoch %d", arm, width, seeds[index], epoch)
