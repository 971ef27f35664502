"""Say how much of the training is done, and how long it will still take.

Snakemake counts jobs, but a job at width 300 takes ten times as long as one at width 10. This
weighs them: it reads the plan that the workflow wrote when it started (logs/plan.json), the records
of finished blocks and the last line of the running ones' logs.
"""

import argparse
import re
import sys
import time
from pathlib import Path

import yaml

from bnstudy.config.models import Study
from bnstudy.files import read_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the study is."""
    parser.add_argument("directory", nargs="?", type=Path, default=Path(), help="of the study")


def run(arguments: argparse.Namespace) -> int:
    """Print the line; 1 where no study was started."""
    try:
        print(report(arguments.directory, time.time()))
    except FileNotFoundError:
        print("no study was started here: there is no logs/plan.json", file=sys.stderr)
        return 1
    return 0


def report(directory: Path, now: float) -> str:
    """One line: share of the training done, and the time left at the speed since the start.

    `now`: seconds since 1970. FileNotFoundError where no study was ever started.
    """
    plan = read_json(directory / "logs" / "plan.json")
    total = done = since_start = 0.0
    for block in plan["blocks"]:
        share, fresh = share_done(directory, block["place"], plan["started"])
        total += block["cost"]
        done += block["cost"] * share
        since_start += block["cost"] * share * fresh
    elapsed = now - plan["started"]
    if done == total:
        return "training: all done"
    left = (total - done) / since_start * elapsed if since_start else 0.0
    remaining = f"about {left / 60:.0f} min left" if since_start else "time left not known yet"
    return f"training: {100 * done / total:.0f} % done, {elapsed / 60:.0f} min so far, {remaining}"


def planned_study(directory: Path) -> Study:
    """The settings with which the study was last started; before the first start config.yaml's."""
    plan = directory / "logs" / "plan.json"
    if plan.exists():
        return Study.from_config(read_json(plan)["study"])
    return Study.from_config(yaml.safe_load((directory / "config.yaml").read_text()))


def record_of(directory: Path, place: str) -> Path:
    """The record of the block at `place`, which is there once the block is trained."""
    return directory / "results" / "runs" / place / "record.json"


def share_done(directory: Path, place: str, started: float) -> tuple[float, bool]:
    """Share of a block that is done (0 to 1), and whether it was done since `started`."""
    record = record_of(directory, place)
    if record.exists():
        return 1.0, record.stat().st_mtime >= started
    log = directory / "logs" / "train" / f"{place}.log"
    if not log.exists() or log.stat().st_mtime < started:
        return 0.0, False
    epochs = re.findall(r"epoch (\d+) of (\d+)", log.read_text())
    return (int(epochs[-1][0]) / int(epochs[-1][1]) if epochs else 0.0), True
