"""A copy of the workflow with a small study of its own, for tests that run, edit and break it."""

import copy
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
PARTS = [
    "Snakefile",
    "reanalysis.smk",
    "pyproject.toml",
    "config.yaml",
    "environment.yml",
    "workflow",
    "src",
    "paper",
    "profiles",
]

TARGETS = ("all", "extended", "track")  # rules that only ask for files


class Clone:
    """A copy of the workflow, in which settings and code may be edited, and its tiny study."""

    def __init__(self, folder: Path, settings: Path = ROOT / "tests" / "config.yaml"):
        self.folder = folder
        for part in PARTS:
            copied = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
            copied(ROOT / part, folder / part)
        self.settings = yaml.safe_load(settings.read_text())

    def copy(self, folder: Path) -> Self:
        """Another, in a new folder, with all that this one has made."""
        study = copy.deepcopy(self)
        study.folder = Path(shutil.copytree(self.folder, folder, symlinks=True))
        return study

    def command(self, *arguments: str) -> list[str]:
        (self.folder / "tiny.yaml").write_text(yaml.safe_dump(self.settings))
        command = [sys.executable, "-m", "snakemake", "--configfile", "tiny.yaml", "--cores", "2"]
        return [*command, *arguments]

    def snakemake(self, *arguments: str, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    def planned(self, *targets: str) -> dict[str, int]:
        """Rule → number of jobs that the next run would do."""
        result = self.snakemake("--dry-run", *targets)
        assert result.returncode == 0, result.stderr
        rows = re.findall(r"^(\w+) +(\d+)$", result.stdout + result.stderr, re.MULTILINE)
        return {rule: int(count) for rule, count in rows if rule not in ("total", *TARGETS)}

    def results(self, scope: str = "") -> dict[str, bytes]:
        """The bytes of a scope's tables and figures; runs.csv without the measured seconds."""
        folder = self.folder / "results" / scope
        made = {
            path.name: path.read_bytes()
            for part in ("tables", "figures")
            for path in (folder / part).iterdir()
            if path.is_file() and not path.name.startswith(".")  # digests, of the seconds too
        }
        runs = pd.read_csv(folder / "tables/runs.csv").drop(columns="seconds")
        return made | {"runs.csv": runs.to_csv().encode()}
