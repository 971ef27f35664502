"""From one row a run to tests, verdicts and sentences, on runs made to a known answer."""

import numpy as np
import pandas as pd
import pytest

from bnstudy.hypotheses import significance
from bnstudy.measures import log_ratio
from bnstudy.study import Study


@pytest.fixture
def analysis(config):
    config["analysis"] |= {"permutations": 4999, "bootstraps": 999}
    return Study.from_config(config).analysis


def runs(analysis, widths=(100, 300), count=12, speed=0.5, final=1.0, spread=0.1, seed=1):
    """Made-up runs: `batch` needs `speed` times the epochs and ends at `final` times the loss."""
    rng = np.random.default_rng(seed)
    rows = []
    for width in widths:
        for s in range(count):
            base = rng.uniform(100, 300)
            for arm in ("none", "batch"):
                ratio, loss = (speed, final) if arm == "batch" else (1.0, 1.0)
                noise = np.exp(rng.normal(0, spread, 2))
                row = {"arm": arm, "width": width, "seed": s, "in_grid": True,
                       "final_test_loss": 0.01 * loss * noise[0]}  # fmt: skip
                for index, threshold in enumerate(analysis.thresholds):
                    row[f"epochs_to_{threshold:g}"] = base * (index + 1) * ratio * noise[1]
                    row[f"reached_{threshold:g}"] = True
                rows.append(row)
    return pd.DataFrame(rows)


def verdict(table, hypothesis, width=300):
    rows = table[(table.hypothesis == hypothesis) & (table.width == width)]
    return rows[rows.role.isin(["primary", "secondary"])].verdict.item()


def test_a_clear_gain_in_speed_is_supported_and_equal_ends_are_equivalent(analysis):
    table = significance(runs(analysis), analysis)
    assert verdict(table, "H1") == "supported" and verdict(table, "H1", 100) == "supported"
    assert verdict(table, "H2a") == "equivalent"
    sentence = table[(table.role == "primary") & (table.hypothesis == "H1")].sentence.item()
    assert "is supported here; they were faster at 5 of 5 thresholds" in sentence


def test_the_opposite_refutes(analysis):
    table = significance(runs(analysis, speed=2.0, final=0.3), analysis)
    assert verdict(table, "H1") == "refuted" and verdict(table, "H2a") == "refuted"


def test_no_effect_is_no_support(analysis):
    made = runs(analysis, speed=1.0, final=1.4, spread=0.4, count=30, seed=2)
    table = significance(made, analysis)
    assert verdict(table, "H1") == "inconclusive" and verdict(table, "H2a") == "inconclusive"


def test_the_effect_is_the_geometric_mean_ratio(analysis):
    made = runs(analysis)
    table = significance(made, analysis)
    row = table[(table.role == "primary") & (table.hypothesis == "H1")].iloc[0]
    expected = np.exp(log_ratio(made, 300, "epochs_to_0.2258").mean())
    assert row.ratio == pytest.approx(expected) and row.ratio_low < expected < row.ratio_high
    p = table[table.role == "primary"].sort_values("p").p.to_numpy()
    expected = np.maximum.accumulate(np.minimum(1, p * [5, 4]))  # Holm, the other three count as 1
    got = table[table.role == "primary"].sort_values("p").p_holm.to_numpy()
    np.testing.assert_allclose(got, expected)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_too_few_pairs_are_not_estimable(analysis, count):
    table = significance(runs(analysis, count=count), analysis)
    assert set(table[table.role != "beside"].verdict) == {"not estimable"}
    assert table[table.role == "primary"].sentence.str.contains("not estimable").all()


def test_an_absent_primary_cell_is_not_estimable(analysis):
    table = significance(runs(analysis, widths=(100,)), analysis)
    assert verdict(table, "H1") == "not estimable" and verdict(table, "H1", 100) == "supported"


def test_only_one_arm_is_not_estimable(analysis):
    made = runs(analysis)
    table = significance(made[made.arm == "none"], analysis)
    assert verdict(table, "H1") == verdict(table, "H2a") == "not estimable"


def test_a_threshold_nobody_reached_is_not_estimable(analysis):
    made = runs(analysis)
    made["reached_0.2258"] = False
    made["epochs_to_0.2258"] = 10_000
    table = significance(made, analysis)
    assert verdict(table, "H1") == "not estimable"
    assert table.reason.str.contains("no run reached").any()


def test_a_diverged_run_is_not_dropped_in_silence(analysis):
    made = runs(analysis)
    made.loc[(made.seed == 3) & (made.arm == "batch"), "final_test_loss"] = np.inf
    assert verdict(significance(made, analysis), "H2a") == "not estimable"


def test_runs_outside_the_grid_enter_no_test(analysis):
    made = runs(analysis)
    extra = made[made.seed == 0].assign(seed=99, in_grid=False, final_test_loss=1e9)
    pd.testing.assert_frame_equal(
        significance(made, analysis), significance(pd.concat([made, extra]), analysis)
    )


def test_adding_a_width_leaves_the_primary_numbers_alone(analysis):
    one, two = runs(analysis, widths=(300,)), runs(analysis, widths=(300, 500))
    columns = ["ratio", "ratio_low", "ratio_high", "p", "p_holm"]
    a, b = (significance(made, analysis) for made in (one, two))
    pd.testing.assert_frame_equal(
        a[a.role == "primary"][columns].reset_index(drop=True),
        b[b.role == "primary"][columns].reset_index(drop=True),
    )


def test_a_preview_says_so(analysis):
    table = significance(runs(analysis), analysis, preview=True)
    assert table.sentence[table.verdict != ""].str.startswith("Preview").all()
