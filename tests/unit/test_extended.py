"""The extended study's tables, on runs and curves made to a known answer."""

import numpy as np
import pandas as pd
import pytest
from made_up import runs

from bnstudy.extended import effects, horizon
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
