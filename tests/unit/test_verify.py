"""`bnstudy verify`: the same, within tolerance, different, missing; in both scopes."""

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from bnstudy.analysis.effects import EFFECTS
from bnstudy.commands.__main__ import main
from bnstudy.commands.publish import publish
from bnstudy.commands.verify import CHECKS, Outcome, changed_verdicts, compare, report
from bnstudy.config.models import ARTICLE
from bnstudy.config.plan import SCOPES
from bnstudy.files import (
    digests,
    read_csv,
    read_json,
    read_parquet,
    write_csv,
    write_json,
    write_parquet,
)

RUNS = pd.DataFrame(
    {
        "cell": ["none-w300", "batch-w300"],
        "arm": ["none", "batch"],
        "epochs": 3000,
        "seed": 1000,
        "final_train_loss": [0.01, 0.02],
        "final_test_loss": [0.03, 0.04],
        "epochs_to_1.244": [500, 400],
        "final_mean_abs_z": 1.0,
    }
)
CLAIMS = pd.DataFrame(
    {"claim": ["C1", "C2"], "regime": "as the article ran it", "verdict": ["holds", "fails"]}
)
CURVES = pd.DataFrame(
    {
        "cell": "none-w300",
        "seed": 1000,
        "epoch": range(3000),
        "train_loss": 1.0,
        "test_loss": 2.0,
        "train_loss_eval": float("nan"),
        "steps": range(1, 3001),
    }
)
DIAGNOSTICS = pd.DataFrame(
    {"cell": "none-w300", "seed": 1000, "epoch": [0, 2999], "path_norm": 0.1}
)
ELSEWHERE = {"epochs on MNIST-1D", "conditions up to epoch 2000"}  # in the extended scope alone
# In the default scope there is nothing to compare other settings with: a table without rows.
NO_EFFECTS = pd.DataFrame(columns=EFFECTS)


@pytest.fixture
def folders(tmp_path, monkeypatch, default_config):
    """(results, published), published from results."""
    results, published = tmp_path / "results", tmp_path / "published"
    write_json(tmp_path / "logs/plan.json", {"study": default_config})
    for scope in SCOPES:
        tables = results / f"{scope}tables"
        write_csv(tables / "runs.csv", RUNS)
        write_csv(tables / "claims.csv", CLAIMS)
        names = ["gradients.csv", "digits.csv", "significance.csv", "sensitivity.csv", "tasks.csv"]
        for name in names + ["curvature.csv"] * bool(scope):
            checks = [check for check in CHECKS if check.table == name]
            columns = {column for check in checks for column in check.key + check.columns}
            write_csv(tables / name, pd.DataFrame(1, index=[0], columns=sorted(columns)))
        if scope:
            write_csv(tables / "mnist1d.csv", pd.read_csv(tables / "digits.csv"))
        write_csv(tables / "effects.csv", NO_EFFECTS)
        write_parquet(tables / "curves.parquet", [pa.Table.from_pandas(CURVES)])
        write_parquet(tables / "diagnostics.parquet", [pa.Table.from_pandas(DIAGNOSTICS)])
        (results / f"{scope}figures").mkdir()
        (results / f"{scope}figures/a.png").write_text(scope)
        (results / f"{scope}claims.md").write_text(f"page {scope}")
        (results / f"{scope}paper.pdf").write_text(f"paper {scope}")
    publish(results, published, SCOPES)
    monkeypatch.setattr("bnstudy.commands.verify.PUBLISHED", published)
    return results, published


def outcomes(folders, scope=""):
    return {o.check.what: o for o in compare(*folders) if o.scope == scope}


@pytest.mark.parametrize("scope", SCOPES)
def test_the_snapshot_is_identical_to_what_it_was_made_from(folders, scope):
    found = outcomes(folders, scope)
    assert len(found) == len(CHECKS)
    not_made = {what for what, outcome in found.items() if outcome.verdict == "not made"}
    assert not_made == (set() if scope else ELSEWHERE)
    assert {found[what].verdict for what in found.keys() - not_made} == {"identical"}
    assert found["final losses"].values == 4
    assert 2 < found["losses up to epoch 2000"].values < 2 * 40


def test_the_snapshot_has_the_small_tables_of_both_scopes_and_the_rest_of_the_extended(folders):
    _, published = folders
    assert (published / "figures/a.png").read_text() == "extended/"
    assert (published / "claims.md").read_text() == "page extended/"
    assert (published / "paper.pdf").read_text() == "paper extended/"
    for scope in SCOPES:
        names = {path.name for path in (published / f"{scope}tables").iterdir()}
        assert {"runs.csv", "curves_thinned.parquet"} < names and "curves.parquet" not in names
        thinned = read_parquet(published / f"{scope}tables/curves_thinned.parquet").to_pandas()
        assert thinned.epoch.max() == 2999 and len(thinned) <= 40
        assert set(thinned) == set(CURVES)
        diagnostics = read_parquet(published / f"{scope}tables/diagnostics.parquet").to_pandas()
        pd.testing.assert_frame_equal(diagnostics, DIAGNOSTICS, check_exact=True)


def test_the_snapshot_says_with_what_settings_it_was_made(folders, default_config):
    assert read_json(folders[1] / "settings.json")["analysis"] == default_config["analysis"]


@pytest.mark.parametrize(
    ("column", "factor", "what", "expected"),
    [
        ("final_test_loss", 1.09, "final losses", "within tolerance"),
        ("final_test_loss", 1.11, "final losses", "different"),
        ("final_test_loss", 0.91, "final losses", "within tolerance"),
        ("final_test_loss", 0.89, "final losses", "different"),
        ("epochs_to_1.244", 1.01, "epochs to thresholds", "within tolerance"),
        ("epochs_to_1.244", 1.03, "epochs to thresholds", "different"),
        ("final_train_loss", float("nan"), "final losses", "different"),
    ],
)
@pytest.mark.parametrize("scope", SCOPES)
def test_tolerances(folders, scope, column, factor, what, expected):
    table = RUNS.assign(**{column: RUNS[column] * factor})
    write_csv(folders[0] / f"{scope}tables/runs.csv", table)
    assert outcomes(folders, scope)[what].verdict == expected
    (other,) = set(SCOPES) - {scope}
    assert outcomes(folders, other)[what].verdict == "identical"


def test_an_outcome_counts_and_gives_examples(folders):
    """Six runs of which two are the same, one is within the tolerance of 10 %, and three are not:
    one lower, one higher, one missing here."""
    of = {"cell": [f"w{i}" for i in range(6)], "seed": 7, "epochs_to_1": 5.0}
    theirs = pd.DataFrame({**of, "final_train_loss": 1.0, "final_test_loss": [2.0] * 5 + [np.inf]})
    ours = theirs.assign(final_test_loss=[2.0, 2.1, 1.5, 2.8, 2.0, np.inf]).drop(index=4)
    for place, table in zip(folders, (ours, theirs), strict=True):
        write_csv(place / "tables/runs.csv", table)
    found = outcomes(folders)["final losses"]
    assert (found.verdict, found.values, found.same) == ("different", 12, 7)
    assert found.largest == np.inf and found.check.what == "final losses"
    assert list(found.examples) == [
        "w4 7, final_train_loss: 1.0 published, nan here",
        "w2 7, final_test_loss: 2.0 published, 1.5 here",
        "w3 7, final_test_loss: 2.0 published, 2.8 here",
        "w4 7, final_test_loss: 2.0 published, nan here",
    ]
    write_csv(folders[0] / "tables/runs.csv", theirs.assign(final_test_loss=[2.1] + [2.0] * 5))
    found = outcomes(folders)["final losses"]
    assert (found.verdict, found.values, found.same, list(found.examples)) == (
        *("different", 12, 10),
        ["w5 7, final_test_loss: inf published, 2.0 here"],
    )
    write_csv(folders[0] / "tables/runs.csv", theirs.assign(final_train_loss=[0.95] + [1.0] * 5))
    found = outcomes(folders)["final losses"]
    assert (found.verdict, found.same) == ("within tolerance", 11) and found.examples == []
    assert found.largest == pytest.approx(0.05)
    write_csv(folders[0] / "tables/runs.csv", theirs.assign(final_train_loss=3.0))
    assert len(outcomes(folders)["final losses"].examples) == 3, "are enough"


def test_rows_are_found_by_their_key_though_a_part_of_it_is_empty(folders):
    """A test over widths has none; rows may be in another order."""
    path = "tables/significance.csv"
    row = read_csv(folders[1] / path).iloc[0].to_dict()
    rows = pd.DataFrame([row | {"width": None, "ratio": 1.0}, row | {"width": 30, "ratio": 2.0}])
    write_csv(folders[1] / path, rows)
    write_csv(folders[0] / path, rows[::-1])
    assert outcomes(folders)["effects"].verdict == "identical"
    write_csv(folders[0] / path, rows.assign(ratio=[1.0, 2.5]))
    (example,) = outcomes(folders)["effects"].examples
    assert " 30.0 " in example and "ratio: 2.0 published, 2.5 here" in example
    write_csv(folders[0] / path, rows.assign(ratio=[1.5, 2.0]))
    (example,) = outcomes(folders)["effects"].examples
    numbers = len(rows.columns) - 3  # of its key, but for the width, the ratio and the direction
    assert sorted(example.partition(", ratio")[0].split(" ")) == ["", *["1"] * numbers]


@pytest.mark.parametrize(
    ("epoch", "factor", "verdict"),
    [
        (0, 1 + 1e-7, "within tolerance"),
        (0, 1 - 1e-5, "different"),
        (1999, 1 + 1e-5, "identical"),  # not among those published
        (2500, 2.0, "identical"),  # spikes have been amplified by then
    ],
)
def test_losses_are_compared_early_at_the_published_epochs(folders, epoch, factor, verdict):
    published = read_parquet(folders[1] / "tables/curves_thinned.parquet").to_pandas().epoch
    assert 1999 not in set(published)
    changed = CURVES.assign(test_loss=np.where(CURVES.epoch == epoch, 2.0 * factor, 2.0))
    write_parquet(folders[0] / "tables/curves.parquet", [pa.Table.from_pandas(changed)])
    found = outcomes(folders)["losses up to epoch 2000"]
    assert found.verdict == verdict and found.values == 2 * (published < 2000).sum()


def test_conditions_are_compared_up_to_the_same_epoch(folders):
    path = "extended/tables/curvature.csv"
    table = pd.DataFrame({"cell": "a", "seed": 7, "epoch": [1999, 2000], "condition": 1.0})
    write_csv(folders[1] / path, table)
    for conditions, verdict in (([1.0, 2.0], "identical"), ([2.0, 1.0], "different")):
        write_csv(folders[0] / path, table.assign(condition=conditions))
        found = outcomes(folders, "extended/")["conditions up to epoch 2000"]
        assert (found.verdict, found.values) == (verdict, 1)


def test_the_report_has_a_line_for_each_check_and_five_examples():
    by_name = {check.what: check for check in CHECKS}
    losses, verdicts = by_name["final losses"], by_name["verdicts on claims"]
    examples = [f"example {i}" for i in range(6)]
    text = report(
        [
            Outcome("", losses, "different", 1234, 1000, 0.25, examples),
            Outcome("extended/", verdicts, "not made"),
        ]
    )
    head, first, *five, last = text.splitlines()
    assert head.split() == ["table", "what", "values", "identical", "largest", "allowed"]
    assert " ".join(first.split()) == "runs.csv final losses 1234 1000 0.25 0.1 different"
    assert five == [f"    example {i}" for i in range(5)]
    assert " ".join(last.split()) == "extended/claims.csv verdicts on claims 0 0 0 equal not made"
    assert [line.index(word) for line, word in ((head, "what"), (first, "final"))] == [32, 32]
    ends = [head.index("allowed") + 7, first.index("  different"), last.index("  not made")]
    assert len(set(ends)) == 1, "in columns"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_changed_verdict_is_named_and_sets_the_exit_status(folders, scope, capsys):
    assert main(["verify", str(folders[0])]) == 0
    *_, changed, last = capsys.readouterr().out.splitlines()
    assert changed == "verdicts that changed: none"
    assert last == "the study agrees with the published one"
    write_csv(folders[0] / f"{scope}tables/claims.csv", CLAIMS.assign(verdict=["open", "holds"]))
    assert main(["verify", str(folders[0])]) == 1
    *lines, changed, last = capsys.readouterr().out.splitlines()
    article = "as the article ran it, verdict:"
    named = [
        f"C1 {article} holds published, open here",
        f"C2 {article} fails published, holds here",
    ]
    assert changed == "verdicts that changed: " + "; ".join(named)
    assert last == "the study DIFFERS from the published one"
    assert [f"    {line}" for line in named] == [line for line in lines if article in line]


@pytest.mark.parametrize("scope", SCOPES)
def test_verdicts_are_compared_without_any_other_table(folders, tmp_path, scope):
    """As a re-analysis does, which makes but some of the tables."""
    claims = CLAIMS.assign(verdict=["holds", "open"])
    write_csv(tmp_path / f"again/{scope}tables/claims.csv", CLAIMS)
    assert changed_verdicts(tmp_path / "again", folders[1]) == []
    write_csv(tmp_path / f"again/{scope}tables/claims.csv", claims)
    (line,) = changed_verdicts(tmp_path / "again", folders[1])
    assert line == "C2, as the article ran it: fails as published, open here"
    for each in SCOPES:
        write_csv(tmp_path / f"again/{each}tables/claims.csv", claims[1:].assign(claim="C3"))
    lines = changed_verdicts(tmp_path / "again", folders[1])
    assert sorted(lines) == [
        *["C1, as the article ran it: holds as published, missing here"] * 2,
        *["C2, as the article ran it: fails as published, missing here"] * 2,
        *["C3, as the article ran it: missing as published, open here"] * 2,
    ]


@pytest.mark.parametrize("side", [0, 1])
def test_a_run_that_is_missing_here_or_was_not_published_is_different(folders, side):
    write_csv(folders[side] / "tables/runs.csv", RUNS[:1])
    assert outcomes(folders)["final losses"].verdict == "different"


def test_a_snapshot_of_other_columns_is_different(folders):
    """As of a study before there were cells."""
    write_csv(folders[1] / "tables/runs.csv", RUNS.drop(columns="cell"))
    found = outcomes(folders)["final losses"]
    assert found.verdict == "different" and found.examples == ["no column cell"]
    assert found.largest == np.inf


def test_effects_that_were_not_published_are_different(folders):
    effects = pd.DataFrame("x", index=[0], columns=NO_EFFECTS.columns.union(["width"]))
    effects = effects.assign(ratio=1.0)
    write_csv(folders[0] / "tables/effects.csv", effects)
    assert outcomes(folders)["effects of other settings"].verdict == "different"


@pytest.mark.parametrize("scope", SCOPES)
def test_a_missing_table_is_not_agreement(folders, scope):
    (folders[0] / f"{scope}tables/runs.csv").unlink()
    assert outcomes(folders, scope)["final losses"].verdict == "missing"
    assert main(["verify", str(folders[0])]) == 1


def test_the_extended_scope_need_not_be_made(folders):
    shutil.rmtree(folders[0] / "extended")
    assert {o.verdict for o in outcomes(folders, "extended/").values()} == {"not made"}
    assert main(["verify", str(folders[0])]) == 0


@pytest.mark.parametrize("content", [None, "cell,seed\n"])
def test_a_table_that_was_not_published_is_not_agreement(folders, content):
    path = folders[1] / "tables/runs.csv"
    path.write_text(content) if content else path.unlink()
    assert outcomes(folders)["final losses"].verdict == "not published"
    assert main(["verify", str(folders[0])]) == 1


def test_results_are_looked_for_in_the_folder_of_the_command(folders, monkeypatch):
    monkeypatch.chdir(folders[0].parent)
    assert main(["verify"]) == main(["verify", "--integrity"]) == 0


@pytest.mark.parametrize("command", ["verify", "publish"])
def test_nothing_to_compare_is_said(tmp_path, command, capsys):
    assert main([command, str(tmp_path)]) == 2 and "run `make`" in capsys.readouterr().err


def test_the_default_scope_can_be_published_alone(folders, monkeypatch):
    monkeypatch.setattr("bnstudy.commands.publish.PUBLISHED", folders[1])
    (folders[0] / "extended/claims.md").unlink()
    assert main(["publish", str(folders[0])]) == 0
    assert (folders[1] / "claims.md").read_text() == "page " and (folders[1] / "tables").exists()
    assert not (folders[1] / "extended").exists(), "what was published before of it is gone"


def test_nothing_is_published_without_the_default_scope(folders, capsys):
    (folders[0] / "claims.md").unlink()
    assert main(["publish", str(folders[0])]) == 2
    assert "run `make`" in capsys.readouterr().err
    assert (folders[1] / "claims.md").exists(), "what was published is untouched"


def test_a_choice_at_the_edge_is_not_published(folders, capsys):
    row = {**ARTICLE, "rank": 1, "at_edge": True, "arm": "batch", "width": 3}
    row |= {"tuned_for": "final_test_loss", "schedule": "cosine", "learning_rate": 1.0}
    write_csv(folders[0] / "extended/tables/tuning.csv", pd.DataFrame([row]))
    assert main(["publish", str(folders[0])]) == 2
    assert "cosine 1 is at the edge" in capsys.readouterr().err
    (folders[0] / "extended/tables/tuning.csv").unlink()
    write_csv(folders[0] / "tables/digits_tuning.csv", pd.DataFrame([row | {"network": "dense"}]))
    assert main(["publish", str(folders[0])]) == 2
    assert "dense network on digits: 1 is at the edge" in capsys.readouterr().err


def test_arms_named_none_survive_the_snapshot(folders):
    assert list(read_csv(folders[1] / "tables/runs.csv").arm) == ["none", "batch"]


def test_integrity_names_each_file_that_changed(folders, capsys):
    """A digit of a table, a byte within a Parquet file, and a file that a record describes."""
    results = folders[0]
    block = results / "runs/batch-w3/seeds_0"
    block.mkdir(parents=True)
    (block / "checkpoint.safetensors").write_bytes(b"weights")
    write_json(block / "record.json", {"files": digests([block / "checkpoint.safetensors"])})
    assert main(["verify", "--integrity", str(results)]) == 0
    assert "is as it was written" in capsys.readouterr().out
    changed = [
        results / "tables/runs.csv",
        results / "tables/diagnostics.parquet",
        block / "checkpoint.safetensors",
    ]
    for path in changed:
        content = bytearray(path.read_bytes())
        content[len(content) // 2 if path.suffix != ".parquet" else 30] ^= 1
        path.write_bytes(content)
    assert main(["verify", "--integrity", str(results)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert {line.partition(" is damaged")[0] for line in said} == set(map(str, changed))
    assert all("Delete it and run snakemake" in line for line in said)
    assert main(["publish", str(results)]) == 2
    assert "not published" in capsys.readouterr().err
