"""Say how much of the training is done, and how long it will still take.

Snakemake counts jobs, but a job at width 300 takes ten times as long as one at width 10. This
weighs them: it reads the plan that the workflow wrote when it started (logs/plan.json), the records
of finished blocks and the last line of the running ones' logs.
"""

import argparse
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
    work = training(directory, plan)
    if work.done == work.total:
        return "training: all done"
    return f"training: {100 * work.done / work.total:.0f} % done, {times(work, plan, now)}"


class Work(NamedTuple):
    """Work in core-seconds: all, what is done, and what of that was done since the start."""

    total: float
    done: float
    fresh: float


def training(directory: Path, plan: Mapping[str, Any]) -> Work:
    """The training that the study's plan.json lists."""
    total = done = fresh = 0.0
    for block in plan["blocks"]:
        share, since_start = share_done(directory, block, plan["started"])
        total += block["cost"]
        done += block["cost"] * share
        fresh += block["cost"] * share * since_start
    return Work(total, done, fresh)


def times(work: Work, plan: Mapping[str, Any], now: float) -> str:
    """The time since the start, and what is left at the speed since then."""
    elapsed = now - plan["started"]
    remaining = "time left not known yet"
    if work.fresh:
        left = (work.total - work.done) / work.fresh * elapsed
        remaining = f"about {left / 60:.0f} min left" if left >= 60 else "less than a minute left"
    return f"{elapsed / 60:.0f} min so far, {remaining}"


def planned_study(directory: Path) -> Study:
    """The settings with which the study was last started; before the first start config.yaml's."""
    plan = directory / "logs" / "plan.json"
    if plan.exists():
        return Study.from_config(read_json(plan)["study"])
    return Study.from_config(yaml.safe_load((directory / "config.yaml").read_text()))


def record_of(directory: Path, place: str) -> Path:
    """The record of the block at `place`, which is there once the block is trained."""
    return directory / "results" / "runs" / place / "record.json"


def share_done(directory: Path, block: Mapping[str, Any], started: float) -> tuple[float, bool]:
    """Share of a block that is done (0 to 1), and whether it was done since `started`.

    The record of a block that is `due` to be trained anew is there until its job starts.
    """
    record = record_of(directory, block["place"])
    if record.exists():
        fresh = record.stat().st_mtime >= started
        return float(fresh or not block["due"]), fresh
    log = directory / "logs" / "train" / f"{block['place']}.log"
    if not log.exists() or log.stat().st_mtime < started:
        return 0.0, False
    epochs = re.findall(r"epoch (\d+) of (\d+)", log.read_text())
    return (int(epochs[-1][0]) / int(epochs[-1][1]) if epochs else 0.0), True
