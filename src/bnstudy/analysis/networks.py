"""What the saved networks of a cell look like inside: all diagnostics of all its snapshots."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import torch

from bnstudy.analysis.collect import ROW, BlockOfScope, of_cell
from bnstudy.config import members
from bnstudy.experiment.snapshots import Snapshot, read_snapshots


def diagnose(blocks: Sequence[BlockOfScope], settings: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """One row per snapshot of the cell's `blocks`: cell, settings, seed, epoch, and the columns of
    every diagnostic. `settings`: those of the diagnostics, by name.

    One thread, so that results do not depend on the number of cores.
    """
    torch.set_num_threads(1)
    diagnostics = {name: members.load("diagnostics", name) for name in members.names("diagnostics")}

    def row(snapshot: Snapshot) -> dict[str, Any]:
        values = {"seed": snapshot.seed, "epoch": snapshot.epoch}
        for name, diagnostic in diagnostics.items():
            values |= diagnostic.compute(snapshot, **settings[name])
        return values

    columns = [column for diagnostic in diagnostics.values() for column in diagnostic.COLUMNS]
    types = ROW | dict.fromkeys(columns, pa.float64())
    rows = [
        row(snapshot)
        for block in blocks
        for snapshot in read_snapshots(
            block.folder / "snapshots.safetensors", block.folder / "record.json", block.dataset
        )
        if snapshot.seed in block.seeds
    ]
    return of_cell(blocks[0].settings, {name: [row[name] for row in rows] for name in types}, types)
