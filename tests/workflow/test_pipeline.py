"""The real `snakemake` command on a tiny study: end to end, and only what changed is redone."""

import re
import subprocess
import sys

import pandas as pd
import pytest
import yaml

from tests.clone import Clone

FIGURES = ["loss_curves", "final_loss_ratio", "epochs_ratio", "survival", "profiles", "arms",
           "gradient_depth", "features", "digits", "final_window"]  # fmt: skip
SHOWING_FIGURES = {"paper", "claims_page", "track"}  # they have figures in them
BLOCKS = 3 * 2 * 2 + 2  # widths 5 and 8, the ablation at 8: two arms, two blocks; the original


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A finished tiny study."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    result = clone.snakemake()
    assert result.returncode == 0, result.stderr[-3000:]
    return clone


@pytest.fixture
def edit(clone):
    """Edit a file or the settings for one test; both are put back afterwards."""
    settings, files = yaml.safe_dump(clone.settings), {}

    def append(path: str, text: str = "\n# edited\n"):
        file = clone.folder / path
        files[file] = file.read_bytes()
        file.write_text(file.read_text() + text)

    yield append
    clone.settings = yaml.safe_load(settings)
    for file, content in files.items():
        file.write_bytes(content)


def test_the_study_is_whole(clone):
    results = clone.folder / "results"
    runs = pd.read_csv(results / "tables/runs.csv", keep_default_na=False)
    assert len(runs) == 3 * 2 * 7 + 2 and runs.run_key.is_unique
    assert (~runs.in_grid).sum() == 2 and (runs.seconds > 0).all()
    curves = pd.read_parquet(results / "tables/curves.parquet")
    columns = ["arm", "width", "seed", "epoch", "train_loss", "test_loss"]
    assert list(curves.columns) == columns and len(curves) == len(runs) * 30
    key = columns[:4]
    assert curves.astype({"arm": str})[key].equals(
        curves.astype({"arm": str})[key].sort_values(key, ignore_index=True)
    )
    measures = pd.read_parquet(results / "tables/measures.parquet")
    assert len(measures) == len(runs) * 5 and measures.epoch.max() == 29
    claims = pd.read_csv(results / "tables/claims.csv")
    assert list(claims.claim) == ["C1", "C2", "C3", "C4", "C5"]
    page = (results / "claims.md").read_text()
    assert all(sentence in page for sentence in claims.sentence)
    assert set(pd.read_csv(results / "tables/sensitivity.csv").claim) == set(claims.claim)
    for figure in FIGURES:
        assert all((results / f"figures/{figure}.{s}").exists() for s in ("pdf", "svg", "png"))
    assert (results / "paper.pdf").read_bytes().startswith(b"%PDF")
    assert "data:image/svg" in (results / "claims.html").read_text()
    assert (clone.folder / "mlflow.db").exists()


def test_every_run_is_in_mlflow_once(clone):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{clone.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    everything = client.search_runs([experiment.experiment_id], max_results=1000)
    assert {run.info.status for run in everything} == {"FINISHED"}
    of_level = {level: [run for run in everything if run.data.tags["level"] == level]
                for level in ("study", "cell", "seed")}  # fmt: skip
    assert len(of_level["study"]) == 1 and len(of_level["cell"]) == 3 * 2
    tracked = of_level["seed"]
    runs = pd.read_csv(clone.folder / "results/tables/runs.csv", keep_default_na=False)
    assert sorted(run.data.tags["run_key"] for run in tracked) == sorted(runs.run_key)
    by_key = runs.set_index("run_key")
    for run in tracked:
        row = by_key.loc[run.data.tags["run_key"]]
        assert run.data.metrics["final_test_loss"] == row.final_test_loss
        assert run.data.params["training.epochs"] == "30"
        assert len(client.get_metric_history(run.info.run_id, "loss/train")) > 10


def test_without_mlflow_the_study_is_done_and_says_what_is_owed(clone, monkeypatch):
    """A server that is not there; the next plain command tracks, and the one after does nothing."""
    (clone.folder / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    result = clone.snakemake("--forcerun", "track_runs")
    assert result.returncode == 0, result.stderr[-3000:]
    assert "is not (wholly) in MLflow" in result.stderr and "`make track`" in result.stderr
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert clone.planned() == {"track_runs": 1, "track": 1}
    result = clone.snakemake()
    assert result.returncode == 0 and "not (wholly)" not in result.stderr
    assert (clone.folder / "mlflow.db").exists() and clone.planned() == {}


def test_mlflow_can_be_left_out(clone, edit):
    clone.settings["mlflow"] = {"experiment": "tiny", "enabled": False}
    clone.settings["analysis"]["alpha"] = 0.02
    assert not {"track", "track_runs"} & clone.planned().keys()
    assert "track_runs" in clone.planned("track")


def test_a_second_run_does_nothing(clone):
    assert clone.planned() == {}
    assert "Nothing to be done" in clone.snakemake().stderr


@pytest.mark.parametrize(("rule", "file"), [
    ("dataset", "datasets/seeds_0.npz"),
    ("train", "training/none/width_5/*/record.json"),
    ("runs", "tables/runs.csv"),
    ("gradients", "tables/gradients.csv"),
    ("significance", "tables/significance.csv"),
    ("track_runs", "tracking/runs.json"),
    ("track", "tracking/study.json"),
])  # fmt: skip
def test_whatever_a_failed_job_took_away_is_missed(clone, rule, file):
    """Though what was made from it once is there, and newer."""
    path = next((clone.folder / "results").glob(file))
    away = path.rename(path.with_suffix(".away"))
    try:
        assert rule in clone.planned()
    finally:
        away.rename(path)


def test_a_damaged_receipt_is_none(clone):
    path = clone.folder / "results/tracking/runs.json"
    away = path.rename(path.with_suffix(".away"))
    path.write_bytes(away.read_bytes()[:20])
    try:
        assert "track_runs" in clone.planned()
    finally:
        away.rename(path)


def test_touching_sources_does_nothing(clone):
    for file in (clone.folder / "src/bnstudy").rglob("*.py"):
        file.touch()
    assert clone.planned() == {}


def test_a_new_width_trains_only_its_cells(clone, edit):
    clone.settings["grid"]["widths"].append(12)
    planned = clone.planned()
    assert planned["train"] == 2 * 2 and "dataset" not in planned


def test_a_new_block_of_seeds_trains_only_it(clone, edit):
    """Seeds 10-16 lie in the blocks 10 and 15; up to 24 the block 15 grows and 20 is new."""
    clone.settings["grid"]["seeds"]["count"] = 15
    planned = clone.planned()
    assert planned["train"] == 3 * 2 * 2 and planned["dataset"] == 2


def test_editing_the_training_code_retrains_all(clone, edit):
    edit("src/bnstudy/training.py")
    assert clone.planned()["train"] == BLOCKS


def test_editing_a_figure_redraws_it_alone(clone, edit):
    edit("src/bnstudy/figures/epochs_ratio.py")
    planned = clone.planned()
    assert planned["figure"] == 1 and set(planned) <= {"figure", *SHOWING_FIGURES}


def test_editing_the_style_redraws_the_figures_alone(clone, edit):
    edit("src/bnstudy/figures/bnstudy.mplstyle")
    planned = clone.planned()
    assert planned["figure"] == len(FIGURES) and set(planned) <= {"figure", *SHOWING_FIGURES}


def test_editing_the_paper_sets_it_alone(clone, edit):
    edit("paper/discussion.typ", "\n// edited\n")
    assert set(clone.planned()) <= {"paper", "track"}


def test_changing_the_analysis_trains_nothing(clone, edit):
    clone.settings["analysis"]["alpha"] = 0.01
    planned = clone.planned()
    assert "significance" in planned and "train" not in planned and "curves" not in planned


def test_changing_bns_settings_leaves_the_other_arm_alone(clone, edit):
    clone.settings["batch_norm"] = {"momentum": 0.8}
    assert clone.planned()["train"] == BLOCKS - 5  # all but those of the arm none


def test_settings_can_be_given_on_the_command_line(clone):
    result = clone.snakemake("--dry-run", "--config", "grid={widths: [5, 12], seeds: {count: 5}}")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^train +2$", result.stdout + result.stderr, re.MULTILINE)


def test_a_rebuild_is_identical_whatever_the_block_size(clone, tmp_path):
    """Another folder, other blocks, one core: the same bytes, measured seconds apart."""
    again = Clone(tmp_path)
    again.settings["training"]["block_size"] = 10
    result = again.snakemake("--cores", "1", "--until", "figure", "claims")
    assert result.returncode == 0, result.stderr[-3000:]
    ours, theirs = again.results(), clone.results()
    assert ours.keys() == theirs.keys()
    curves = [pd.read_parquet(c.folder / "results/tables/curves.parquet") for c in (clone, again)]
    pd.testing.assert_frame_equal(*curves, check_exact=True)
    different = {name for name in ours if ours[name] != theirs[name]}
    assert different <= {"curves.parquet", "measures.parquet"}, "their row groups are the blocks"


def test_the_extended_study_goes_on_from_the_default_one(clone):
    planned = clone.planned("extended")
    assert planned["extend"] == 2 * 2 * 5 + 2 and "train" not in planned
    result = clone.snakemake("extended")
    assert result.returncode == 0, result.stderr[-3000:]
    tables = clone.folder / "results/tables"
    long = pd.read_parquet(tables / "extended/curves.parquet")
    long = long[long.variant == "epochs_60"].drop(columns="variant")
    assert long.groupby(["arm", "seed"], observed=True).size().eq(60).all()
    short = pd.read_parquet(tables / "curves.parquet")
    short = short[(short.width == 5) & short.seed.isin(long.seed)]
    pd.testing.assert_frame_equal(
        long[long.epoch < 30].astype({"arm": str}).reset_index(drop=True),
        short.astype({"arm": str}).reset_index(drop=True), check_exact=True,
    )  # fmt: skip
    runs = pd.read_csv(tables / "extended/runs.csv", keep_default_na=False, na_values=[""])
    assert set(runs.kind) == {
        "width", "epochs", "learning_rate", "label_noise", "batch_size", "dropout"
    }  # fmt: skip
    assert set(runs[runs.kind == "learning_rate"].learning_rate) == {0.01}
    effects = pd.read_csv(tables / "extended/effects.csv")
    assert set(effects.kind) == {"default", *runs.kind}
    assert clone.planned("extended") == {}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"grid": {"widhts": [5]}}, "grid.widhts: unknown key; did you mean widths?"),
        ({"training": {"learning_rate": "1e-3"}}, "write 0.001"),
        ({"dataset": {"test_size": 0}}, "dataset.test_size is 0"),
    ],
)
def test_a_bad_config_is_refused_before_any_job(clone, tmp_path, settings, says):
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(settings))
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "bad.yaml",
         "--snakefile", str(clone.folder / "Snakefile")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode != 0 and says in result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "results").exists()
