"""Figures, claims and paper from the published tables alone."""

import re
import subprocess
import sys

import pytest

from bnstudy.config import members
from tests.clone import ROOT

FROM_TABLES = {"published", "significance", "claims", "effects", "figure", "paper"}


def planned(folder, *arguments):
    """What a re-analysis of the repository's published tables would do in `folder`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", "reanalysis.smk", "--dry-run"]
    command += ["--directory", str(folder), "--cores", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_published_tables_suffice_for_every_figure_and_the_paper(tmp_path):
    said = planned(tmp_path)
    assert said.returncode == 0, said.stderr
    rows = re.findall(r"^(\w+) +(\d+)$", said.stdout, re.MULTILINE)
    jobs = {rule: int(count) for rule, count in rows if rule not in ("all", "total")}
    scopes = 1 + (ROOT / "published/extended").exists()
    assert jobs.keys() == FROM_TABLES and jobs["paper"] == scopes
    assert jobs["figure"] == scopes * len(members.names("figures"))


@pytest.mark.parametrize(
    ("name", "value"), [("final_window", "100"), ("thresholds", "[0.2258, 0.002258]")]
)
def test_what_needs_every_epoch_is_refused(tmp_path, name, value):
    said = planned(tmp_path, "--config", f"analysis={{{name}: {value}}}")
    assert said.returncode != 0 and f"analysis.{name} is not" in said.stdout
    assert "Traceback" not in said.stdout + said.stderr


def test_what_is_published_stays_small():
    """Of a clone: 25 MB of tables in all."""
    tables = [*ROOT.glob("published/tables/*"), *ROOT.glob("published/extended/tables/*")]
    assert len(tables) > 10 and sum(table.stat().st_size for table in tables) < 25e6
