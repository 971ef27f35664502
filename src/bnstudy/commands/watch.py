"""Track runs while the study trains: they appear in MLflow as soon as their block is finished.

A process of its own, for which training never waits; `snakemake` starts one. Every now and then it
runs the importer on the cells of which more is finished than before; one of which some blocks are,
and some are not, is RUNNING with the metric `progress`. What is left when it ends is completed, or
abandoned, by the next `track`.
"""

import argparse
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pandas as pd

from bnstudy.analysis.collect import BlockOfScope, collect_runs, experiments_table
from bnstudy.commands.progress import planned_study, record_of, share_done
from bnstudy.config.cell import SETTINGS
from bnstudy.config.models import Study
from bnstudy.config.plan import SCOPES, Plan
from bnstudy.files import read_json, read_parquet
from bnstudy.tracking.importer import abandon, track
from bnstudy.tracking.plan import cell_key
from bnstudy.tracking.server import TrackingUnavailable, chosen_uri

EVERY = 15  # seconds from one look to the next; a look takes about one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the study is."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), help="of the study")
    parser.add_argument("--child-of", type=int, metavar="PID", help="end with this parent process")


def run(arguments: argparse.Namespace) -> int:
    """Look again and again, until all is trained and tracked, or until interrupted.

    A child of `snakemake` goes on until that ends it, or is gone.
    """
    directory = arguments.directory.resolve()
    os.nice(5)  # training goes first; at 10 it would get a tenth of a core
    stopped = Event()

    def stop(*_: object) -> None:
        stopped.set()  # what is raised while Python collects garbage is lost
        sys.exit()

    signal.signal(signal.SIGTERM, stop)
    watcher, parent = Watcher(directory), arguments.child_of
    try:
        while not stopped.is_set() and parent in (None, os.getppid()):
            over = not parent and (directory / "logs" / "plan.json").exists() and watcher.over()
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
            stopped.wait(EVERY)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if watcher.seen:
            watcher.leave()
    return 0


class Watcher:
    """Looks at a study that trains, and tracks what is new."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tables: dict[Path, tuple[Mapping[Path, float], pd.DataFrame]] = {}  # by record
        self.seen: dict[str, object] = {}  # what was finished of a cell

    def look(self) -> str | None:
        """Track what is new since the last look; a line that says what, None if nothing was."""
        plan = read_json(self.directory / "logs" / "plan.json")
        study = planned_study(self.directory)
        blocks = {record: self._files(record) for record in self._finished(plan["blocks"])}
        cells: dict[str, list[Any]] = defaultdict(list)
        for record, files in blocks.items():
            cells[record.parts[-3]].append(files)
        changed = [cell for cell, finished in cells.items() if finished != self.seen.get(cell)]
        if not changed:
            return None
        runs = pd.concat([self._runs(files, study) for files in blocks.values()], ignore_index=True)
        runs["seconds"] = runs.pop("seconds")  # the last column, also where diagnostics are missing
        experiments = experiments_table(Plan(study).rows(SCOPES[-1]))
        receipt = track(
            *(runs, list(blocks), study, self.directory),
            experiments=experiments,
            progress=self._training(plan, runs, blocks),
            cells=changed,
        )
        self.seen = dict(cells)
        return (
            f"{len(runs)} of {sum(block['models'] for block in plan['blocks'])} runs are in MLflow "
            f"({receipt['created'] + receipt['completed']} new)"
        )

    def over(self) -> bool:
        """Whether nothing trains any more: Snakemake holds no lock, and all blocks are there."""
        plan = read_json(self.directory / "logs" / "plan.json")
        running = any(self.directory.glob(".snakemake/locks/*"))
        return not running and len(self._finished(plan["blocks"])) == len(plan["blocks"])

    def leave(self) -> None:
        """Leave no run RUNNING; where MLflow is away, the next `track` sees to that."""
        study = planned_study(self.directory)
        with suppress(TrackingUnavailable):
            abandon(chosen_uri(study.mlflow.tracking_uri), study.mlflow.experiment, self.directory)

    def _training(
        self, plan: Mapping[str, Any], runs: pd.DataFrame, done: Collection[Path]
    ) -> dict[str, float]:
        """The cells that train, or train anew (`runs` are of two trainings), and their share."""
        trainings = runs.run_key.map(cell_key).groupby(runs.cell).nunique()
        shares, unfinished = defaultdict(list), set(trainings.index[trainings > 1])
        for block in plan["blocks"]:
            cell, _ = block["place"].split("/")
            shares[cell].append(share_done(self.directory, block, plan["started"])[0])
            # Its log may say already that all epochs are done, and its record be there by now.
            if record_of(self.directory, block["place"]) not in done:
                unfinished.add(cell)
        return {cell: sum(shares[cell]) / len(shares[cell]) for cell in unfinished}

    def _finished(self, blocks: Sequence[Mapping[str, Any]]) -> list[Path]:
        records = [record_of(self.directory, block["place"]) for block in blocks]
        return [record for record in records if record.exists()]

    def _files(self, record: Path) -> dict[Path, float]:
        """The files of the numbers of a block, with their times: its record, and the diagnostics of
        its cell, of either scope, that are there already."""
        name = f"diagnostics/{record.parts[-3]}.parquet"
        diagnosed = [self.directory / f"results/{scope}{name}" for scope in SCOPES]
        files = [record, *(path for path in diagnosed if path.exists())]
        return {path: path.stat().st_mtime for path in files}

    def _runs(self, files: Mapping[Path, float], study: Study) -> pd.DataFrame:
        """The rows of runs.csv of one block, with the diagnostics that are there."""
        record, *diagnosed = files
        if self.tables.get(record, (None,))[0] != files:
            block = BlockOfScope(record.parent, read_json(record)["seeds"])
            if diagnosed:
                diagnostics = read_parquet(diagnosed[-1]).to_pandas()
            else:
                none_yet = pd.DataFrame(columns=["cell", *SETTINGS, "seed", "epoch"])
                diagnostics = none_yet.astype({"seed": int})
            window, thresholds = study.analysis.final_window, study.analysis.thresholds
            table = collect_runs([block], diagnostics, final_window=window, thresholds=thresholds)
            self.tables[record] = files, table
        return self.tables[record][1]
