"""A study in which every run diverges is a result as well: made, told, and in MLflow."""

import mlflow
import pytest

from bnstudy.files import read_csv
from tests.faults.victim import Victim


@pytest.mark.extended
def test_a_study_in_which_all_diverge_is_made_and_told(tmp_path):
    """Adam's steps are bounded by the learning rate, so that 10 does not suffice; 1e200 does."""
    study = Victim(tmp_path)
    study.settings["defaults"]["learning_rate"] = 1e200
    for experiment in ("rates", "minibatch_rates"):
        study.settings["experiments"][experiment]["learning_rate"] = [1e200, 1e201]
    study.settings["experiments"]["learning_rates"]["learning_rate"] = 1e201
    result = study.snakemake("all", "extended")
    assert result.returncode == 0, result.stderr[-3000:]
    result = study.snakemake("all", "extended", "--report", "results/report.html")
    assert result.returncode == 0, result.stderr[-3000:]
    tables = tmp_path / "results/tables"
    runs = read_csv(tables / "runs.csv")
    assert set(runs.status) == {"diverged"}
    for name in runs.run_key:
        cell, seed, _ = name.rsplit("-", 2)
        logs = "".join(p.read_text() for p in (tmp_path / f"logs/train/{cell}").iterdir())
        assert f"{cell}, seed {seed[1:]} diverged at epoch" in logs
    claims = read_csv(tables / "claims.csv").set_index("claim").verdict
    assert set(claims[["C1", "C2", "C3"]]) == {"not estimable"}
    tests = read_csv(tables / "significance.csv")
    asked = (tests.role == "primary") & (tests.regime == "as the article ran it")
    decided = tests[asked & tests.claim.isin(["C1", "C2", "C3"])]
    assert len(decided) == 4
    assert set(decided.failed_reference) == set(decided.failed_arm) == {4}
    effects = read_csv(tmp_path / "results/extended/tables/effects.csv")
    assert effects.ratio.isna().all() and set(effects.failed_arm) == {2, 4}  # of so many seeds
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("small")
    tracked = client.search_runs([experiment.experiment_id], "tags.level = 'seed'")
    assert {run.info.status for run in tracked} == {"FAILED"}
    assert {run.data.tags["run_key"] for run in tracked} >= set(runs.run_key)
