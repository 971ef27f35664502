"""`make verify`: the same, within tolerance, different, missing."""

import pandas as pd
import pytest

from bnstudy.files import read_csv, write_csv
from bnstudy.verify import CHECKS, compare, main, publish

RUNS = pd.DataFrame({
    "arm": ["none", "batch"], "width": 300, "seed": 1000, "final_train_loss": [0.01, 0.02],
    "final_test_loss": [0.03, 0.04], "epochs_to_1.244": [500, 400],
    "final_mean_abs_z": 1.0,
})  # fmt: skip
CLAIMS = pd.DataFrame({"claim": ["C1", "C2"], "verdict": ["supported", "refuted"]})
CURVES = pd.DataFrame({
    "arm": "none", "width": 300, "seed": 1000, "epoch": range(3000), "train_loss": 1.0,
    "test_loss": 2.0,
})  # fmt: skip


@pytest.fixture
def folders(tmp_path):
    """(results, published), published from results."""
    results, published = tmp_path / "results", tmp_path / "published"
    write_csv(results / "tables/runs.csv", RUNS)
    write_csv(results / "tables/claims.csv", CLAIMS)
    for name in ("gradients.csv", "digits.csv", "significance.csv", "sensitivity.csv"):
        columns = {c for check in CHECKS if check.table == name for c in check.key + check.columns}
        write_csv(results / "tables" / name, pd.DataFrame(1, index=[0], columns=sorted(columns)))
    CURVES.to_parquet(results / "tables/curves.parquet")
    (results / "figures").mkdir()
    (results / "figures/a.png").write_text("")
    (results / "claims.md").write_text("page")
    publish(results, published)
    return results, published


def outcomes(folders):
    return {o.check.what: o for o in compare(*(folder / "tables" for folder in folders))}


def test_the_snapshot_is_identical_to_what_it_was_made_from(folders):
    found = outcomes(folders)
    assert found["final losses"].verdict == "identical" and found["final losses"].values == 4
    assert found["verdicts on claims"].verdict == "identical"
    assert found["losses up to epoch 2000"].verdict == "identical"
    assert 2 < found["losses up to epoch 2000"].values < 2 * 40
    assert found["effects, extended study"].verdict == "not published"
    assert (folders[1] / "figures/a.png").exists() and (folders[1] / "claims.md").exists()


@pytest.mark.parametrize(
    ("column", "factor", "what", "expected"),
    [
        ("final_test_loss", 1.09, "final losses", "within tolerance"),
        ("final_test_loss", 1.11, "final losses", "different"),
        ("epochs_to_1.244", 1.01, "epochs to thresholds", "within tolerance"),
        ("epochs_to_1.244", 1.03, "epochs to thresholds", "different"),
        ("final_train_loss", float("nan"), "final losses", "different"),
    ],
)
def test_tolerances(folders, column, factor, what, expected):
    write_csv(folders[0] / "tables/runs.csv", RUNS.assign(**{column: RUNS[column] * factor}))
    assert outcomes(folders)[what].verdict == expected


def test_a_changed_verdict_is_named_and_sets_the_exit_status(folders, monkeypatch, capsys):
    monkeypatch.setattr("bnstudy.verify.PUBLISHED", folders[1])
    monkeypatch.setattr("sys.argv", ["verify", str(folders[0])])
    assert main() == 0 and "agrees" in capsys.readouterr().out
    write_csv(folders[0] / "tables/claims.csv", CLAIMS.assign(verdict="supported"))
    assert main() == 1
    assert "C2, verdict: refuted published, supported here" in capsys.readouterr().out


def test_a_missing_run_is_different(folders):
    write_csv(folders[0] / "tables/runs.csv", RUNS[:1])
    assert outcomes(folders)["final losses"].verdict == "different"


def test_a_missing_table_is_not_agreement(folders, monkeypatch):
    monkeypatch.setattr("bnstudy.verify.PUBLISHED", folders[1])
    monkeypatch.setattr("sys.argv", ["verify", str(folders[0])])
    (folders[0] / "tables/runs.csv").unlink()
    assert outcomes(folders)["final losses"].verdict == "missing" and main() == 1


@pytest.mark.parametrize("content", [None, "arm,width,seed\n"])
def test_a_table_that_was_not_published_is_not_agreement(folders, monkeypatch, content):
    monkeypatch.setattr("bnstudy.verify.PUBLISHED", folders[1])
    monkeypatch.setattr("sys.argv", ["verify", str(folders[0])])
    path = folders[1] / "tables/runs.csv"
    path.write_text(content) if content else path.unlink()
    assert outcomes(folders)["final losses"].verdict == "not published" and main() == 1


def test_nothing_to_compare_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["verify", str(tmp_path)])
    assert main() == 2 and "run `make` first" in capsys.readouterr().err


def test_arms_named_none_survive_the_snapshot(folders):
    assert list(read_csv(folders[1] / "tables/runs.csv").arm) == ["none", "batch"]
