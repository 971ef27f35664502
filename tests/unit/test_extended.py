"""The extended study's tables, on runs and curves made to a known answer."""

import numpy as np
import pandas as pd
import pytest
from made_up import runs

from bnstudy.extended import effects, horizon
from bnstudy.measures import TARGET_VARIANCE
from bnstudy.study import Study


@pytest.fixture
def analysis(config):
    config["analysis"] |= {"permutations": 999, "bootstraps": 999}
    return Study.from_config(config).analysis


def test_effects_stand_beside_the_defaults_on_the_same_seeds(analysis):
    default = runs(analysis, final=0.8, count=20, spread=0.01)
    rate = runs(analysis, widths=(100,), final=0.5, count=10, spread=0.01, seed=5)
    rate = rate.assign(kind="learning_rate", variant="learning_rate_0.01", learning_rate=0.01)
    dropout = runs(analysis, widths=(100,), count=10, spread=0.01, arms=("dropout",), final=3.0)
    dropout = dropout[dropout.arm == "dropout"]
    dropout = dropout.assign(kind="dropout", variant="dropout", dropout_rate=0.1)
    table = effects(pd.concat([rate, dropout]), default, analysis)
    final = table[table.quantity == "final_test_loss"].set_index(["variant", "width"])
    assert final.ratio["default", 100] == pytest.approx(0.8, rel=0.02)
    assert final.ratio["learning_rate_0.01", 100] == pytest.approx(0.5, rel=0.02)
    assert final.arm["dropout", 100] == "dropout"
    assert final.ratio["dropout", 100] == pytest.approx(3, rel=0.02)
    assert set(table.n_pairs) == {10}
    labels = {"learning rate 0.01, width 100", "dropout 0.1 (against none), width 100"}
    assert labels <= set(table.label)


def test_horizon_is_the_ratio_of_closing_medians_and_the_slope_left(analysis):
    """none falls as 1/epoch, batch is constant: the ratio grows, slopes are 1/2 and 1."""
    analysis = analysis.model_copy(update={"final_window": 10})
    epochs = np.arange(1000)
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame({"arm": arm, "width": 5, "seed": seed, "epoch": epochs,
                      "test_loss": loss * np.exp(rng.normal(0, 0.01))})
        for seed in range(8)
        for arm, loss in (("none", 1 / (epochs + 1)), ("batch", np.full(1000, 0.01)))
    ]  # fmt: skip
    table = horizon(pd.concat(frames), analysis, points=10)
    last = table[table.epochs == 1000].iloc[0]
    assert last.epochs == 1000 and last.slope_batch == pytest.approx(1)
    assert last.slope_none == pytest.approx(0.5, rel=0.02)
    np.testing.assert_allclose(table.ratio[table.epochs == 500], 5, rtol=0.02)


def test_a_diverged_run_counts_against_its_arm(analysis):
    """Two of ten with BN: the worst of the cell as a loss, the pair left out of a loss ratio."""
    default = runs(analysis, count=10, spread=0.01)
    rate = runs(analysis, widths=(100,), final=0.5, count=10, spread=0.01, seed=5)
    failed = (rate.arm == "batch") & rate.seed.isin([3, 4])
    rate.loc[failed, "status"] = "diverged"
    rate.loc[failed, ["final_test_loss", "final_train_loss"]] = np.inf
    rate = rate.assign(kind="learning_rate", variant="learning_rate_1", learning_rate=1)
    table = effects(rate, default, analysis).set_index(["variant", "width", "quantity"])
    loss = table.loc["learning_rate_1", 100, "final_test_loss"]
    none = rate[rate.arm == "none"].set_index("seed").final_test_loss
    worst = np.where(none.index.isin([3, 4]), TARGET_VARIANCE / none, 0.5).astype(float)
    assert (loss.failed_none, loss.failed_arm, loss.n_pairs) == (0, 2, 10)
    assert loss.ratio == pytest.approx(np.exp(np.log(worst).mean()), rel=0.02)
    assert table.loc["learning_rate_1", 100, "test_over_train"].n_pairs == 8
    assert set(table.failed_none) == {0} and table.failed_arm.default.eq(0).all()


def test_a_run_that_diverged_on_the_long_way_counts_from_there(analysis):
    """One of eight without BN turns NaN at epoch 600: the ratio falls, its slope is not counted."""
    analysis = analysis.model_copy(update={"final_window": 10})
    epochs = np.arange(1000)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.001, 8))
    losses = {("none", seed): noise[seed] / (epochs + 1) for seed in range(8)}
    losses["none", 0] = np.where(epochs < 600, losses["none", 0], np.nan)
    losses |= {("batch", seed): np.full(1000, 0.01) for seed in range(8)}
    curves = pd.concat([
        pd.DataFrame({"arm": arm, "width": 5, "seed": seed, "epoch": epochs, "test_loss": loss})
        for (arm, seed), loss in losses.items()
    ])  # fmt: skip
    table = horizon(curves, analysis, points=10).set_index("epochs")
    assert list(table.failed_none[[500, 1000]]) == [0, 1] and set(table.failed_batch) == {0}
    assert table.ratio[500] == pytest.approx(5, rel=0.02)
    seven, failed = np.log(0.01 * 1000), np.log(0.01 / TARGET_VARIANCE)
    assert table.ratio[1000] == pytest.approx(np.exp((7 * seven + failed) / 8), rel=0.02)
    assert table.slope_none[1000] == pytest.approx(0.5, rel=0.02)
