"""Write the generated parts of README.md from the committed tables."""

import argparse
from pathlib import Path

from bnstudy.report.readme import write

ROOT = Path(__file__).parents[3]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(arguments: argparse.Namespace) -> int:
    """Write them."""
    write(ROOT)
    return 0
