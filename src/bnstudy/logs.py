"""A job's log: light enough to open before anything that could fail is imported."""

import logging
import os
import sys
from pathlib import Path


def open_log(path: str | Path) -> None:
    """Send stdout, stderr, warnings, tracebacks and log messages of this process to `path`."""
    file = Path(path).open("w", buffering=1)  # noqa: SIM115 - open until the process ends
    os.dup2(file.fileno(), sys.stdout.fileno())
    os.dup2(file.fileno(), sys.stderr.fileno())
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.captureWarnings(True)
