"""How a process of the study starts: light enough to come before anything that could fail."""

import atexit
import gc
import logging
import os
import sys
from pathlib import Path


def start_job(log: str | Path) -> None:
    """Send stdout, stderr, warnings, tracebacks and log messages of this process to `log`, and
    `collect_seldom`."""
    file = Path(log).open("w", buffering=1)  # noqa: SIM115 - open until the process ends
    os.dup2(file.fileno(), sys.stdout.fileno())
    os.dup2(file.fileno(), sys.stderr.fileno())
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.captureWarnings(True)
    collect_seldom()


def collect_seldom() -> None:
    """Let Python look for garbage seldom, and not once more at its end: most of what a process
    imports or plans it keeps, and looking through it took a third of a job's start and end."""
    gc.set_threshold(100_000, 50, 100)
    atexit.register(gc.freeze)
