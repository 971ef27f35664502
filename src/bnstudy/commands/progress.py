"""How much of the training is done, and how long it will still take: `make progress`.

Snakemake counts jobs, but a job at width 300 takes ten times as long as one at width 10. This
weighs them: it reads the plan that the workflow wrote when it started (logs/plan.json), the records
of finished blocks and the last line of the running ones' logs.
"""

import re
import sys
import time
from pathlib import Path

import yaml

from bnstudy.files import read_json
from bnstudy.study import Study

OVERHEAD = 20  # hidden units' worth of cost that an epoch of one model has at any width


def report(study_directory: Path, now: float) -> str:
    """One line: share of the training done, and the time left at the speed since the start.

    `now`: seconds since 1970. FileNotFoundError where no study was ever started.
    """
    plan = read_json(study_directory / "logs" / "plan.json")
    total = done = since_start = 0.0
    for arm, width, start, models in plan["blocks"]:
        work = models * (width + OVERHEAD)
        share, fresh = share_done(study_directory, arm, width, start, plan["started"])
        total += work
        done += work * share
        since_start += work * share * fresh
    elapsed = now - plan["started"]
    left = (total - done) / since_start * elapsed if since_start else float("nan")
    if done == total:
        return "training: all done"
    remaining = f"about {left / 60:.0f} min left" if since_start else "time left not known yet"
    return f"training: {100 * done / total:.0f} % done, {elapsed / 60:.0f} min so far, {remaining}"


def planned_study(study_directory: Path) -> Study:
    """The settings with which the study was last started; before the first start config.yaml's."""
    plan = study_directory / "logs" / "plan.json"
    if plan.exists():
        return Study.from_config(read_json(plan)["study"])
    return Study.from_config(yaml.safe_load((study_directory / "config.yaml").read_text()))


def share_done(
    folder: Path, arm: str, width: int, start: int, started: float
) -> tuple[float, bool]:
    """Share of a block that is done (0 to 1), and whether it was done since `started`."""
    place = f"{arm}/width_{width}/seeds_{start}"
    record = folder / "results" / "training" / place / "record.json"
    if record.exists():
        return 1.0, record.stat().st_mtime >= started
    log = folder / "logs" / "train" / f"{place}.log"
    if not log.exists() or log.stat().st_mtime < started:
        return 0.0, False
    epochs = re.findall(r"epoch (\d+) of (\d+)", log.read_text())
    return (int(epochs[-1][0]) / int(epochs[-1][1]) if epochs else 0.0), True


if __name__ == "__main__":
    try:
        print(report(Path(sys.argv[1] if len(sys.argv) > 1 else "."), time.time()))
    except FileNotFoundError:
        sys.exit("no study was started here: there is no logs/plan.json")
