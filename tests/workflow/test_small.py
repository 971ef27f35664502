"""Studies of other experiments than the repository's run through, however odd."""

import pandas as pd
import pytest

from tests.clone import Clone

# All of a study but the page of the claims and the run `study` in MLflow.
TARGETS = [
    "results/paper.pdf",
    "results/claims.md",
    "results/explorer.html",
    "results/tables/horizon.csv",
    "results/tables/curves_thinned.parquet",
    "results/tracking/runs.json",
]
STUDIES = {
    # No cell of the grid: another task, other inputs, optimizer, schedule; not even an arm of it.
    "another": {
        "other-things": {
            "arm": ["layer-norm", "weight-norm"],
            "task": "odd",
            "inputs": "shifted",
            "width": [3, 4],
            "optimizer": "sgd",
            "learning_rate": 0.01,
            "schedule": "cosine",
            "batch_size": 10,
            "steps": 40,
            "seeds": {"first": 70, "count": 2},
        }
    },
    # Seeds that only tune: nothing is tested, no snapshot is there.
    "tuning": {
        "rates_1": {"seeds": "tuning", "arm": ["none", "batch"], "learning_rate": [0.01, 1]}
    },
    # No run at all.
    "depth": {"depth": {"width": 6, "depth": 4, "scales": 0.5}},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_an_odd_study_runs_through(tmp_path, name):
    import mlflow

    clone = Clone(tmp_path)
    clone.settings["experiments"] |= STUDIES[name]
    clone.settings["default_experiments"] = list(STUDIES[name])
    result = clone.snakemake(*TARGETS)
    assert result.returncode == 0, result.stderr[-4000:]
    tables = tmp_path / "results/tables"
    runs = pd.read_csv(tables / "runs.csv", keep_default_na=False)
    wanted = {"another": 2 * 2 * 2, "tuning": 2 * 2 * 5, "depth": 0}[name]
    assert len(runs) == wanted
    verdicts = pd.read_csv(tables / "claims.csv").set_index("claim").verdict
    open_to_depth = {"C4"} if name == "depth" else set()
    assert set(verdicts.index) == {"C1", "C2", "C3", "C4", "C5"}
    assert set(verdicts.drop(open_to_depth)) == {"not estimable"}
    assert "not estimable" in (tmp_path / "results/claims.md").read_text()
    assert (tmp_path / "results/paper.pdf").read_bytes().startswith(b"%PDF")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    tracked = client.search_runs([experiment.experiment_id], "tags.level = 'seed'")
    assert {run.data.tags["run_key"] for run in tracked} == set(runs.get("run_key", []))
    assert clone.planned(*TARGETS) == {}
