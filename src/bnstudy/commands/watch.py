"""Runs appear in MLflow while the study trains: `make watch`, beside a running `make`.

A process of its own, for which training never waits. Every now and then it runs the importer on the
blocks that are finished; an arm and width of which some are, and some are not, is RUNNING with the
metric `progress`. What is left when it ends is completed, or given up, by the next `track`.
"""

import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pandas as pd

from bnstudy.collect import collect_runs
from bnstudy.files import read_json
from bnstudy.progress import planned_study, share_done
from bnstudy.study import Study
from bnstudy.tracking.importer import give_up, track
from bnstudy.tracking.server import TrackingUnavailable, chosen_uri

EVERY = 15  # seconds from one look to the next; a look takes about one


class Watcher:
    """Looks at a study that trains, and tracks what is new."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.tables: dict[Path, tuple[float, pd.DataFrame]] = {}  # by record, with its time
        self.seen: object = None

    def look(self) -> str | None:
        """Track what is new since the last look; a line that says what, None if nothing was."""
        plan = read_json(self.directory / "logs" / "plan.json")
        study = Study.from_config(plan["study"])
        shares, unfinished = defaultdict(list), set()
        for arm, width, start, _ in plan["blocks"]:
            share, _ = share_done(self.directory, arm, width, start, plan["started"])
            shares[arm, width].append(share)
            if not self._record(arm, width, start).exists():  # its log may say: all epochs done
                unfinished.add((arm, width))
        records = self._finished(plan["blocks"])
        training = {cell: sum(shares[cell]) / len(shares[cell]) for cell in unfinished}
        now = {r: r.stat().st_mtime for r in records}, {c: round(s, 2) for c, s in training.items()}
        if not records or now == self.seen:
            return None
        runs = pd.concat([self._runs(r, study) for r in records], ignore_index=True)
        receipt = track(runs, records, study, self.directory, progress=training)
        self.seen = now
        return (
            f"{len(runs)} of {sum(count for *_, count in plan['blocks'])} runs are in MLflow "
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
            give_up(chosen_uri(study.mlflow.tracking_uri), study.mlflow.experiment, self.directory)

    def _finished(self, blocks: Sequence[Sequence]) -> list[Path]:
        records = [self._record(arm, width, start) for arm, width, start, _ in blocks]
        return [record for record in records if record.exists()]

    def _record(self, arm: str, width: int, start: int) -> Path:
        block = Path(arm) / f"width_{width}" / f"seeds_{start}"
        return self.directory / "results" / "training" / block / "record.json"

    def _runs(self, record: Path, study: Study) -> pd.DataFrame:
        """The rows of runs.csv of one block."""
        time_made = record.stat().st_mtime
        if self.tables.get(record, (None,))[0] != time_made:
            files = [[record.with_name(name)] for name in ("curves.parquet", "measures.parquet")]
            table = collect_runs(
                *files, [record], study.grid_seeds, final_window=study.analysis.final_window,
                thresholds=study.analysis.thresholds,
            )  # fmt: skip
            self.tables[record] = time_made, table
        return self.tables[record][1]


def main(directory: Path) -> None:
    """Look again and again, until all is trained and tracked, or until interrupted."""
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
                    return
            time.sleep(EVERY)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if watcher.seen:
            watcher.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
