"""docs/add.md, followed to the letter: six files, one of each kind, each found where it should."""

import json
import re
import subprocess
import sys

import mlflow
import pandas as pd
import pypdf
import pytest
import yaml
from snakemake.utils import update_config

from bnstudy.config.models import StudySettings
from tests.clone import ROOT, Clone

PAGE = (ROOT / "docs" / "add.md").read_text()
FILES = dict(re.findall(r"^`(src/[^`]+)`\n\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
SETTINGS = yaml.safe_load(re.search(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[1])
# Draws the arms' figure from the clone's tables and prints its legend.
LEGEND = """
import json, sys
sys.path.insert(0, "src")
from bnstudy.config.models import StudySettings
from bnstudy.report.figures.arms import draw
from bnstudy.report.tables import read_tables
study = StudySettings(**json.loads(sys.stdin.read()))
figure = draw(read_tables(["results/tables/significance.csv"]), study)
print([text.get_text() for legend in figure.legends for text in legend.get_texts()])
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone in which the page was followed, with a tiny study made in it."""
    clone = Clone(tmp_path_factory.mktemp("add"))
    for path, code in FILES.items():
        assert not (clone.folder / path).exists()
        (clone.folder / path).write_text(code)
    update_config(clone.settings, SETTINGS)
    clone.settings["seeds"]["study"]["count"] = 5  # one block
    for name in ("depth", "digits"):  # of these the page says nothing new
        clone.settings["default_experiments"].remove(name)
    result = clone.snakemake()
    assert result.returncode == 0, result.stderr[-3000:]
    return clone


def table(clone: Clone, name: str) -> pd.DataFrame:
    return pd.read_csv(clone.folder / f"results/tables/{name}.csv", keep_default_na=False)


@pytest.fixture(scope="module")
def paper(clone):
    """Its text, on one line, without hyphens at the ends of lines."""
    pages = pypdf.PdfReader(clone.folder / "results/paper.pdf").pages
    return re.sub(r"\s+", " ", re.sub("-\n", "", "\n".join(p.extract_text() for p in pages)))


@pytest.fixture(scope="module")
def runs_in_mlflow(clone):
    client = mlflow.MlflowClient(f"sqlite:///{clone.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    return client, client.search_runs([experiment.experiment_id], max_results=1000)


def test_the_page_has_one_file_of_each_kind():
    folders = [path.split("/")[3] for path in FILES]
    assert folders == ["arms", "tasks", "optimizers", "diagnostics", "figures", "claims"]


def test_the_page_is_in_style(tmp_path):
    for path, code in FILES.items():
        file = tmp_path / path.replace("/", "_")
        file.write_text(code)
        for command in (["check", "--ignore", "INP"], ["format", "--check"]):
            ruff = [sys.executable, "-m", "ruff", *command, "--config", ROOT / "pyproject.toml"]
            subprocess.run([*ruff, file], check=True, capture_output=True)


def test_they_are_in_the_tables(clone):
    runs, tests, effects = (table(clone, name) for name in ("runs", "significance", "effects"))
    assert {"l1-norm"} < set(runs.arm) and {"waves"} < set(runs.task)
    assert {"rmsprop"} < set(runs.optimizer) and (runs.final_max_abs_z > 0).all()
    assert "l1-norm" in set(tests[tests.role == "exploratory"].arm)
    assert {"task_waves", "optimizer_rmsprop+learning_rate_0.01"} < set(effects.variant)
    claims = table(clone, "claims")
    assert list(claims.claim.unique()) == ["C1", "C2", "C3", "C4", "C5", "C6"]
    assert claims.verdict.ne("").all()
    diagnostics = pd.read_parquet(clone.folder / "results/tables/diagnostics.parquet")
    assert "max_abs_z" in diagnostics


def test_they_are_in_the_figures(clone, config):
    update_config(config, clone.settings)
    fields = {name: config[name] for name in StudySettings.model_fields}
    result = subprocess.run(
        [sys.executable, "-c", LEGEND],
        cwd=clone.folder,
        input=json.dumps(fields),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "L1 norm" in result.stdout, result.stderr
    assert (clone.folder / "results/figures/train_test.pdf").exists()


def test_they_are_in_the_paper(paper):
    found = ["L1 norm", "l1-norm", "waves", "rmsprop", "max_abs_z", "Final losses"]
    for words in [*found, "BN fits the training data better"]:
        assert words in paper, words


def test_they_are_on_the_pages(clone):
    explorer = (clone.folder / "results/explorer.html").read_text()
    for words in ("L1 norm", "task waves", "rmsprop"):
        assert words in explorer, words
    for page in (explorer, (clone.folder / "results/claims.html").read_text()):
        assert "BN fits the training data better" in page


def test_they_are_in_mlflow(runs_in_mlflow):
    client, runs = runs_in_mlflow
    seeds = [run for run in runs if run.data.tags["level"] == "seed"]
    for name, value in (("arm", "l1-norm"), ("task", "waves"), ("optimizer", "rmsprop")):
        assert value in {run.data.params[name] for run in seeds}
    assert all("final_max_abs_z" in run.data.metrics for run in seeds)
    [study] = [run for run in runs if run.data.tags["level"] == "study"]
    assert "verdict C6: as the article ran it" in study.data.tags
    figures = {file.path for file in client.list_artifacts(study.info.run_id, "figures")}
    assert "figures/train_test.png" in figures
