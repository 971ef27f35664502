"""From the blocks' files to the study's two tables: all curves, and one row a run."""

from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bnstudy.files import check_digests, read_json, read_parquet
from bnstudy.measures import epochs_to, final_loss, threshold_columns

RUN_EPOCH = ("arm", "width", "seed", "epoch")  # what a row of a block's tables is about


def collect_rows(blocks: Sequence[Path], **columns: Sequence) -> Iterator[pa.Table]:
    """The blocks' rows, block after block in the given order, each sorted by seed and epoch.

    `columns`: further columns in front, one value a block.
    """
    for index, block in enumerate(blocks):
        table = read_block(block)
        for name, values in reversed(columns.items()):
            column = pa.array([values[index]]).dictionary_encode()
            table = table.add_column(0, name, column.take(pa.array(np.zeros(len(table), int))))
        yield table


def read_block(path: Path) -> pa.Table:
    """A block's table, sorted by seed and epoch. Long curves are written stretch by stretch."""
    table = read_parquet(path)
    if pq.read_metadata(path).num_row_groups > 1:
        table = table.sort_by([("seed", "ascending"), ("epoch", "ascending")])
    return table


def collect_runs(
    blocks: Sequence[Path],
    measures: Sequence[Path],
    records: Sequence[Path],
    grid_seeds: Container[int],
    *,
    final_window: int,
    thresholds: Sequence[float],
) -> pd.DataFrame:
    """One row a run: who it is, its final losses, epochs to each threshold, what it looks like
    inside at the end, and its seconds.

    `seconds` is a run's share of its block's training time, so that the column adds up.
    """
    frames = []
    for curves, inside, path in zip(blocks, measures, records, strict=True):
        record = read_json(path)
        check_digests([curves, inside], record["files"])
        tables = read_block(curves), read_block(inside)
        frames.append(_runs_of_block(*tables, record, final_window, thresholds))
    runs = pd.concat(frames, ignore_index=True)
    runs.insert(4, "in_grid", [seed in grid_seeds for seed in runs.seed])
    return runs


def _runs_of_block(
    curves: pa.Table, measures: pa.Table, record: dict, window: int, thresholds: Sequence[float]
) -> pd.DataFrame:
    count = len(record["seeds"])
    train = curves["train_loss"].to_numpy().reshape(count, -1)
    test = curves["test_loss"].to_numpy().reshape(count, -1)
    finite = np.isfinite(train).all(axis=1) & np.isfinite(test).all(axis=1)
    columns = {
        "run_key": list(record["run_keys"].values()),
        "arm": record["arm"],
        "width": record["width"],
        "seed": record["seeds"],
        "status": np.where(finite, "finished", "diverged"),
        "final_train_loss": final_loss(train, window),
        "final_test_loss": final_loss(test, window),
        "last_train_loss": train[:, -1],
        "last_test_loss": test[:, -1],
    }
    for threshold in thresholds:
        epochs, reached = threshold_columns(threshold)
        columns[epochs], columns[reached] = epochs_to(train, threshold)
    for name in measures.column_names[len(RUN_EPOCH) :]:
        columns[f"final_{name}"] = measures[name].to_numpy().reshape(count, -1)[:, -1]
    columns["seconds"] = record["seconds"] / count
    return pd.DataFrame(columns)
