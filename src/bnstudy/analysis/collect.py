"""From the blocks' files to the tables of a scope, block by block: no table is held as a whole that
has a row per epoch."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bnstudy.analysis.outcomes import (
    each_row,
    epochs_to,
    final_loss,
    thinned_epochs,
    threshold_columns,
)
from bnstudy.config.cell import SETTINGS, UNTUNED
from bnstudy.experiment.data import thresholds as thresholds_of
from bnstudy.files import check_digests, read_json, read_parquet

# Columns that say which cell a row is about; other settings are texts, the batch size too (full).
NUMBERS = {
    "width": pa.int64(),
    "learning_rate": pa.float64(),
    "epochs": pa.int64(),
    "label_noise": pa.float64(),
    "tuned_rank": pa.int64(),
}
CELL = {
    name: pa.dictionary(pa.int16(), NUMBERS.get(name, pa.string())) for name in ("cell", *SETTINGS)
}
ROW = {"seed": pa.int64(), "epoch": pa.int64()}
LOSSES = {
    "train_loss": pa.float64(),
    "test_loss": pa.float64(),
    "train_loss_eval": pa.float64(),
    "steps": pa.int64(),
}


@dataclass(frozen=True)
class BlockOfScope:
    """A block's folder, and those of its seeds that the scope asks for."""

    folder: Path
    seeds: Sequence[int]

    @cached_property
    def record(self) -> dict[str, Any]:
        """What was trained there."""
        return read_json(self.folder / "record.json")

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of its runs, with the cell's name."""
        return {**UNTUNED, **self.record["settings"]}

    @property
    def dataset(self) -> Path:
        """The file of the data that it was trained on."""
        name = f"{self.settings['task']}-{self.settings['inputs']}"
        return self.folder.parents[2] / "datasets" / name / f"{self.folder.name}.npz"

    def curves(self) -> pa.Table:
        """The loss curves of the scope's seeds, sorted by seed and epoch."""
        path = self.folder / "curves.parquet"
        table = read_parquet(path)
        if set(self.seeds) != set(self.record["seeds"]):
            table = table.filter(pc.is_in(table["seed"], pa.array(self.seeds)))
        if pq.read_metadata(path).num_row_groups > 1:  # long curves are written chunk by chunk
            table = table.sort_by([("seed", "ascending"), ("epoch", "ascending")])
        return table


def blocks_of_scope(records: Iterable[str | Path], experiments: pd.DataFrame) -> list[BlockOfScope]:
    """The blocks whose records are given, each with the seeds that `experiments`, the scope's
    experiments.csv, asks of its cell."""
    asked: dict[str, set[int]] = defaultdict(set)
    for row in each_row(experiments):
        asked[row.cell] |= set(range(row.first_seed, row.first_seed + row.seeds))
    blocks = []
    for folder in (Path(record).parent for record in records):
        trained = BlockOfScope(folder, []).record["seeds"]
        wanted = asked[folder.parent.name]
        blocks.append(BlockOfScope(folder, [seed for seed in trained if seed in wanted]))
    return blocks


def collect_curves(blocks: Sequence[BlockOfScope], *, thinned: bool = False) -> Iterator[pa.Table]:
    """The loss curves of a scope, one table per block, in the given order.

    `thinned`: only the epochs that figures show.
    """
    if not blocks:
        yield pa.schema(CELL | ROW | LOSSES).empty_table()
    for block in blocks:
        table = block.curves()
        if thinned:
            shown = pa.array(thinned_epochs(block.settings["epochs"]))
            table = table.filter(pc.is_in(table["epoch"], shown))
        yield of_cell(block.settings, {name: table[name] for name in ROW | LOSSES}, ROW | LOSSES)


def of_cell(
    settings: Mapping[str, Any], columns: Mapping[str, Any], types: Mapping[str, pa.DataType]
) -> pa.Table:
    """A table of one cell: its name and settings in front of `columns`."""
    table = pa.table(dict(columns), schema=pa.schema(types))
    index = pa.array(np.zeros(len(table), np.int16))
    front = {}
    for name, kind in CELL.items():
        value = settings[name] if name in NUMBERS else str(settings[name])
        front[name] = pa.DictionaryArray.from_arrays(index, pa.array([value], kind.value_type))
    return pa.table(front | dict(zip(table.column_names, table.columns, strict=True)))


def collect_runs(
    blocks: Sequence[BlockOfScope],
    diagnostics: pd.DataFrame,
    *,
    final_window: int,
    thresholds: Sequence[float],
) -> pd.DataFrame:
    """One row per run: its settings, its final losses, epochs to each threshold, what it looks like
    inside at the end, and its seconds.

    `diagnostics`: the scope's diagnostics.parquet. `thresholds`: those of the article's task, by
    which columns are named; other tasks have the corresponding ones. `seconds` is a run's share of
    its block's training time, so that the column adds up. DamagedFile where a block's curves are
    not what its record describes.
    """
    frames = [outcomes_of_block(block, final_window, thresholds) for block in blocks]
    names = [name for threshold in thresholds for name in threshold_columns(threshold)]
    losses = [f"{when}_{which}_loss" for when in ("final", "last") for which in ("train", "test")]
    columns = ["run_key", "cell", *SETTINGS, "seed", "status", *losses, *names, "seconds"]
    runs = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    at_the_end = diagnostics.drop(columns=[*SETTINGS, "epoch"]).astype({"cell": object})
    at_the_end = at_the_end.drop_duplicates(["cell", "seed"], keep="last")  # sorted by epoch
    at_the_end = at_the_end.rename(columns=lambda c: c if c in runs else f"final_{c}")
    runs = runs.merge(at_the_end, on=["cell", "seed"], how="left", validate="one_to_one")
    runs["seconds"] = runs.pop("seconds")
    return runs


def outcomes_of_block(
    block: BlockOfScope, final_window: int, thresholds: Sequence[float]
) -> pd.DataFrame:
    """The rows of `collect_runs` on a block's runs, but for diagnostics."""
    record, settings, seeds = block.record, block.settings, sorted(block.seeds)
    check_digests([block.folder / "curves.parquet"], record["files"])
    table = block.curves()
    train, test, evaluated = (
        table[name].to_numpy().reshape(len(seeds), -1)
        for name in ("train_loss", "test_loss", "train_loss_eval")
    )
    if settings["schedule"] == "cosine":  # what a rate near zero leaves to settle
        final_window = math.ceil(settings["epochs"] / 20)
    finite = np.isfinite(train).all(axis=1) & np.isfinite(test).all(axis=1)
    columns = {
        "run_key": [record["run_keys"][str(seed)] for seed in seeds],
        "cell": settings["cell"],
        **{name: settings[name] for name in SETTINGS},
        "seed": seeds,
        "status": np.where(finite, "finished", "diverged"),
        "final_train_loss": final_loss(train, final_window),
        "final_test_loss": final_loss(test, final_window),
        "last_train_loss": train[:, -1],
        "last_test_loss": test[:, -1],
    }
    for nominal, own in thresholds_of(settings["task"], thresholds).items():
        epochs, reached = threshold_columns(nominal)
        falling = evaluated if np.isfinite(evaluated).any() else train
        columns[epochs], columns[reached] = epochs_to(falling, own)
    columns["seconds"] = record["seconds"] / len(record["seeds"])
    return pd.DataFrame(columns)


def collect_diagnostics(tables: Iterable[pa.Table], columns: Iterable[str]) -> pa.Table:
    """diagnostics.parquet: the tables of all cells, in the given order. `columns`: those of all
    diagnostics."""
    nothing = pa.schema(CELL | ROW | dict.fromkeys(columns, pa.float64())).empty_table()
    return pa.concat_tables(list(tables) or [nothing]).unify_dictionaries().combine_chunks()


def experiments_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """experiments.csv: one row per experiment and cell, as `Plan.rows` gives them."""
    return pd.DataFrame(rows, columns=["experiment", "cell", "first_seed", "seeds", *SETTINGS])
