"""Track runs while the study trains, beside a running `make`: they appear in MLflow at once.

A process of its own, for which training never waits. Every now and then it runs the importer on the
blocks that are finished; a cell of which some are, and some are not, is RUNNING with the metric
`progress`. What is left when it ends is completed, or abandoned, by the next `track`.
"""

import argparse
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from bnstudy.analysis.collect import BlockOfScope, collect_runs, experiments_table
from bnstudy.commands.progress import planned_study, record_of, share_done
from bnstudy.config.cell import SETTINGS
from bnstudy.config.models import Study
from bnstudy.config.plan import SCOPES, Plan
from bnstudy.files import read_json
from bnstudy.tracking.importer import abandon, track
from bnstudy.tracking.server import TrackingUnavailable, chosen_uri

EVERY = 15  # seconds from one look to the next; a look takes about one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the study is."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), help="of the study")


def run(arguments: argparse.Namespace) -> int:
    """Look again and again, until all is trained and tracked, or until interrupted."""
    directory = arguments.directory.resolve()
    os.nice(10)  # training goes first
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    watcher = Watcher(directory)
    try:
        while True:
            over = (directory / "logs" / "plan.json").exists() and watcher.over()
            try:
                if said := watcher.look():
                    print(time.strftime("%H:%M:%S"), said, flush=True)
            except FileNotFoundError:
                pass  # no study was started yet, or Snakemake is making this block anew
            except TrackingUnavailable as error:
                print(error, "Trying again.", flush=True)
            else:
                if over:
                    print("All is trained and tracked.")
                    return 0
            time.sleep(EVERY)
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if watcher.seen:
            watcher.leave()


class Watcher:
    """Looks at a study that trains, and tracks what is new."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tables: dict[Path, tuple[float, pd.DataFrame]] = {}  # by record, with its time
        self.seen: object = None

    def look(self) -> str | None:
        """Track what is new since the last look; a line that says what, None if nothing was."""
        plan = read_json(self.directory / "logs" / "plan.json")
        study = planned_study(self.directory)
        training = self._training(plan)
        records = self._finished(plan["blocks"])
        now = {r: r.stat().st_mtime for r in records}, {c: round(s, 2) for c, s in training.items()}
        if not records or now == self.seen:
            return None
        runs = pd.concat([self._runs(record, study) for record in records], ignore_index=True)
        experiments = experiments_table(Plan(study).rows(SCOPES[-1]))
        receipt = track(
            runs, records, study, self.directory, experiments=experiments, progress=training
        )
        self.seen = now
        return (
            f"{len(runs)} of {sum(block['models'] for block in plan['blocks'])} runs are in MLflow "
            f"({receipt['created'] + receipt['completed']} new)"
        )

    def over(self) -> bool:
        """Whether nothing trains any more: Snakemake holds no lock, and all blocks are there."""
        plan = read_json(self.directory / "logs" / "plan.json")
        locks = self.directory / ".snakemake" / "locks"
        running = locks.exists() and any(locks.iterdir())
        return not running and len(self._finished(plan["blocks"])) == len(plan["blocks"])

    def leave(self) -> None:
        """Leave no run RUNNING; where MLflow is away, the next `track` sees to that."""
        study = planned_study(self.directory)
        with suppress(TrackingUnavailable):
            abandon(chosen_uri(study.mlflow.tracking_uri), study.mlflow.experiment, self.directory)

    def _training(self, plan: Mapping[str, Any]) -> dict[str, float]:
        """The cells that still train, with their share done."""
        shares, unfinished = defaultdict(list), set()
        for block in plan["blocks"]:
            cell, _ = block["place"].split("/")
            shares[cell].append(share_done(self.directory, block["place"], plan["started"])[0])
            # Its log may say already that all epochs are done.
            if not record_of(self.directory, block["place"]).exists():
                unfinished.add(cell)
        return {cell: sum(shares[cell]) / len(shares[cell]) for cell in unfinished}

    def _finished(self, blocks: Sequence[Mapping[str, Any]]) -> list[Path]:
        records = [record_of(self.directory, block["place"]) for block in blocks]
        return [record for record in records if record.exists()]

    def _runs(self, record: Path, study: Study) -> pd.DataFrame:
        """The rows of runs.csv of one block; diagnostics come when all is trained."""
        time_made = record.stat().st_mtime
        if self.tables.get(record, (None,))[0] != time_made:
            block = BlockOfScope(record.parent, read_json(record)["seeds"])
            none_yet = pd.DataFrame(columns=["cell", *SETTINGS, "seed", "epoch"])
            table = collect_runs(
                [block],
                none_yet.astype({"seed": int}),
                final_window=study.analysis.final_window,
                thresholds=study.analysis.thresholds,
            )
            self.tables[record] = time_made, table
        return self.tables[record][1]
