"""Figures, claims and paper from the published tables alone."""

import re
import subprocess
import sys

import pytest

from tests.clone import ROOT

FROM_TABLES = {"published", "significance", "effects", "claims", "figure", "paper", "explorer"}


def planned(folder, *arguments):
    """What a re-analysis of the repository's published tables would do in `folder`."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", "reanalysis.smk", "--dry-run"]
    command += ["--directory", str(folder), "--cores", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_published_tables_suffice_for_every_figure_and_the_paper(tmp_path):
    said = planned(tmp_path)
    assert said.returncode == 0, said.stderr
    rules = set(re.findall(r"^(?:local)?rule (\w+):$", said.stdout, re.MULTILINE))
    assert rules - {"all", "prediction"} == FROM_TABLES
    drawn = set(re.findall(r"figures/(\w+)\.svg", said.stdout))
    assert drawn >= {path.stem for path in ROOT.glob("published/figures/*.svg")} > {"features"}


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
