"""Run the study: a line on its progress while it runs, the verdicts when it is done.

All arguments go to Snakemake, which explains them itself (`snakemake --help`): `bnstudy run
--cores 4` runs the default study, `bnstudy run --cores 4 extended` all experiments. The logs of the
jobs are in logs/, that of Snakemake in .snakemake/log/. Ctrl-C stops the study; the same command
goes on from there.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from bnstudy.commands.progress import Work, times, training
from bnstudy.config.checks import ConfigError, check_yaml
from bnstudy.config.plan import SCOPES
from bnstudy.files import read_csv, read_json

EVERY = 2.0  # seconds from one look to the next
OTHER = 5.0  # core-seconds of a job that trains nothing, roughly
NOTHING = "Nothing to be done"  # as Snakemake says it
LOGGER = ["--logger", "bnstudy", "--logger-bnstudy-events"]
# Shows the share done (None: not known yet), the times, and what runs now.
Show = Callable[[float | None, str, str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of Snakemake's that are looked at here; all that are given are passed on."""
    parser.add_argument("--directory", "-d", type=Path, default=Path(), help="of the study")
    parser.add_argument(
        "--configfile", "--configfiles", nargs="+", default=[], help="settings that differ"
    )
    parser.set_defaults(passes_on=True)


def run(arguments: argparse.Namespace) -> int:
    """Snakemake's exit status; 1 where a file of settings cannot be read, at which Snakemake itself
    would end with a traceback."""
    try:
        for path in arguments.configfile:
            check_yaml(path)
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    with TemporaryDirectory() as folder:
        output, events = Path(folder) / "output", Path(folder) / "events"
        events.touch()
        command = [sys.executable, "-m", "snakemake", *arguments.given, *LOGGER, str(events)]
        with (
            output.open("w") as file,
            subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True) as process,
            display(Console()) as show,
        ):
            signals, jobs = _pass_signals_on(process), Jobs(events)
            status = _follow(process, jobs, arguments.directory, show)
        said = output.read_text(errors="replace")
    if jobs.began or signals or NOTHING in said:
        print("\n".join(closing(jobs, arguments, status, stopped=bool(signals))))
    else:  # a dry run, say, or settings that are refused
        print(said, end="")
    return status if status >= 0 else 128 - status


class Jobs:
    """What Snakemake says of its jobs in the file `events`, through its logger plugin `bnstudy`."""

    def __init__(self, events: Path) -> None:
        self.file = events.open()
        self.began = False
        self.planned: Mapping[str, int] = {}  # number of jobs by rule, and their `total`
        self.done: Counter[str] = Counter()  # the same of those that are done
        self.running: dict[int, tuple[str, str]] = {}  # rule and name, by Snakemake's number
        self.failed: dict[str, str] = {}  # log, by name
        self.warnings: list[str] = []

    def read(self) -> None:
        """Take in what is new."""
        for line in self.file:
            self._take(json.loads(line))

    def work(self, directory: Path, plan: Mapping[str, Any]) -> Work:
        """All jobs' work, that of training as in the study's plan.json."""
        trained = training(directory, plan)
        total = OTHER * (self.planned["total"] - self.planned.get("train", 0))
        done = OTHER * (self.done.total() - self.done["train"])
        return Work(trained.total + total, trained.done + done, trained.fresh + done)

    def _take(self, event: Mapping[str, Any]) -> None:
        match event.get("event"):
            case "run_info":
                self.planned = event["stats"]
            case "job_started":
                self.began = True
            case "job_info":
                wildcards = filter(None, event["wildcards"].values())
                name = " ".join([event["rule_name"], *wildcards])
                self.running[event["jobid"]] = event["rule_name"], name
            case "job_finished":
                rule, name = self.running.pop(event["job_id"])
                self.failed.pop(name, None)  # it had been tried before
                self.done[rule] += 1
            case "job_error":
                _, name = self.running.pop(event["jobid"])
                self.failed[name] = " ".join(event["log"])
            case _:
                self.warnings.append(event["message"])


@contextmanager
def display(console: Console) -> Iterator[Show]:
    """On a terminal a bar and what runs now, until the end; elsewhere a line per tenth."""
    if not console.file.isatty():
        said = set()

        def say(share: float | None, so_far: str, now: str) -> None:
            if share is not None and (tenth := int(10 * share)) not in said:
                said.add(tenth)
                print(f"{share:.0%} done, {so_far}; now: {now}", flush=True)

        yield say
        return
    bar = Progress(BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    task = bar.add_task("", total=None)
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(share: float | None, so_far: str, now: str) -> None:
            total = None if share is None else 1.0
            bar.update(task, total=total, completed=share or 0.0, description=so_far)
            below = Text(f"now: {now}", no_wrap=True, overflow="ellipsis")
            live.update(Group(bar, below), refresh=True)

        yield show


def closing(
    jobs: Jobs, arguments: argparse.Namespace, status: int, *, stopped: bool
) -> Iterator[str]:
    """The last lines: how it ended, the verdicts, and what to try next."""
    ended = f"{jobs.done.total()} of {jobs.planned.get('total', 0)} jobs are done"
    if stopped:
        yield f"stopped: {ended}; the same command goes on from there"
    elif status:
        for name, log in islice(jobs.failed.items(), 5):
            yield f"failed: {name}, see {arguments.directory / log}"
        yield f"{ended}; what Snakemake said is in {arguments.directory / '.snakemake/log'}"
    else:
        yield ended if jobs.began else NOTHING
        yield from jobs.warnings
        yield from results(arguments)


def results(arguments: argparse.Namespace) -> Iterator[str]:
    """What the study found, where it is, and what to try next, a line each."""
    place = arguments.directory / "results"
    # a re-analysis is of the widest scope alone
    extended = "extended" in arguments.given or not (place / "tables").exists()
    made = place / SCOPES[extended]
    if (claims := made / "tables" / "claims.csv").exists():
        for claim, rows in read_csv(claims).groupby("claim", sort=False):
            regimes = rows.groupby("verdict", sort=False).regime.agg(", ".join)
            verdicts = (f"{verdict}: {where}" for verdict, where in regimes.items())
            yield f"{claim:10}{'; '.join(verdicts)}"
    for name in ("paper.pdf", "explorer.html"):
        if (made / name).exists():
            yield f"{name.partition('.')[0]:10}{made / name}"
    if (made / "tracking" / "study.json").exists():
        yield f"{'MLflow':10}bnstudy ui {arguments.directory}"
    if "--snakefile" in arguments.given:
        return
    if arguments.configfile:
        yield f"{'next':10}bnstudy run --cores 4: the study of config.yaml"
    elif extended:
        yield f"{'next':10}bnstudy verify {place}: compare with the published study"
    else:
        yield f"{'next':10}bnstudy run --cores 4 extended: all experiments"


def _pass_signals_on(process: subprocess.Popen[bytes]) -> list[int]:
    """Have what would end this process end Snakemake; returns those signals, as they come.

    As from a terminal, its jobs get SIGINT and SIGHUP as well; at SIGTERM it lets them finish.
    """
    signals: list[int] = []

    def pass_on(number: int, _: Any) -> None:
        signals.append(number)
        with suppress(ProcessLookupError):  # it is over already
            (os.kill if number == signal.SIGTERM else os.killpg)(process.pid, number)

    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, pass_on)
    return signals


def _follow(process: subprocess.Popen[bytes], jobs: Jobs, directory: Path, show: Show) -> int:
    """Show how far the jobs are until Snakemake ends; its exit status."""
    status: int | None = None
    plan: Mapping[str, Any] = {}
    show(None, "", "looking what there is to do")
    while status is None:
        with suppress(subprocess.TimeoutExpired):
            status = process.wait(EVERY)
        jobs.read()
        if jobs.began:
            plan = plan or read_json(directory / "logs" / "plan.json")
            work = jobs.work(directory, plan)
            now = ", ".join(name for _, name in jobs.running.values())
            show(work.done / work.total, times(work, plan, time.time()), now)
    return status
