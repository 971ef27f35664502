"""Effects at other settings, and along the horizon, on runs and curves made to a known answer."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from made_up import experiments, runs

from bnstudy.analysis.effects import EFFECTS, HORIZON, effects, horizon, horizon_curves
from bnstudy.config.models import Study
from bnstudy.experiment.data import ARTICLE_VARIANCE
from bnstudy.files import write_parquet


@pytest.fixture
def study(config):
    config["analysis"] |= {"permutations": 999, "bootstraps": 999}
    return Study.from_config(config)


@pytest.fixture
def windowed(study):
    """With a final window that suits curves of 1000 epochs."""
    analysis = study.analysis.model_copy(update={"final_window": 10})
    return study.model_copy(update={"analysis": analysis})


def of(arm, made):
    return made[made.arm == arm]


def table_of(study, grid, **others):
    """The effects of a study with this grid and these other experiments."""
    every = pd.concat([grid, *others.values()], ignore_index=True)
    named = experiments(grid=grid, **others)
    return effects(every, named, study, {"dropout": {"rate": 0.1}})


def test_effects_stand_beside_the_defaults_on_the_same_seeds(study):
    analysis = study.analysis
    grid = runs(analysis, final=0.8, count=20, spread=0.01)
    rate = {"widths": (100,), "final": 0.5, "count": 10, "spread": 0.01, "learning_rate": 0.01}
    rate = runs(analysis, seed=5, **rate)
    dropout = runs(analysis, widths=(100,), count=10, spread=0.01, arms=("dropout",), final=3.0)
    table = table_of(study, grid, rate=rate, dropout=of("dropout", dropout))
    final = table[table.quantity == "final_test_loss"].set_index(["variant", "width"])
    assert final.ratio["default", 100] == pytest.approx(0.8, rel=0.02)
    assert final.ratio["learning_rate_0.01", 100] == pytest.approx(0.5, rel=0.02)
    assert final.arm["dropout", 100] == "dropout"
    assert final.ratio["dropout", 100] == pytest.approx(3, rel=0.02)
    assert set(table.n_pairs) == {10}
    labels = {"learning rate 0.01, width 100", "dropout 0.1 (against none), width 100"}
    assert labels <= set(table.label)
    assert list(dict.fromkeys(table.kind)) == ["default", "dropout", "learning_rate"]


@pytest.mark.parametrize(
    ("arm", "settings", "kind", "variant", "label"),
    [
        ("batch", {"task": "odd"}, "task", "task_odd", "task odd"),
        ("batch", {"inputs": "shifted"}, "inputs", "inputs_shifted", "inputs shifted"),
        ("batch", {"schedule": "cosine"}, "schedule", "schedule_cosine", "schedule cosine"),
        (
            "batch",
            {"batch_size": 50, "epochs": 2000},
            "batch_size",
            "batch_size_50",
            "minibatches of 50, 2000 epochs",
        ),
        (
            "batch",
            {"optimizer": "sgd", "learning_rate": 0.1},
            "optimizer+learning_rate",
            "optimizer_sgd+learning_rate_0.1",
            "optimizer sgd, learning rate 0.1",
        ),
        ("layer-norm", {}, "layer-norm", "layer-norm", "layer-norm (against none)"),
        (
            "layer-norm",
            {"task": "odd"},
            "layer-norm+task",
            "layer-norm+task_odd",
            "layer-norm (against none), task odd",
        ),
    ],
)
def test_whatever_is_not_as_usual_is_named(study, arm, settings, kind, variant, label):
    other = runs(study.analysis, widths=(100,), count=7, arms=(arm,), final=0.5, **settings)
    if not settings:
        other = of(arm, other)
    table = table_of(study, runs(study.analysis, count=7), other=other)
    row = table[table.quantity == "final_test_loss"].iloc[-1]
    assert (row.kind, row.variant, row.label) == (kind, variant, f"{label}, width 100")
    assert row.arm == arm and row.n_pairs == 7


@pytest.mark.parametrize(("width", "label"), [(1000, "wider"), (20, "another width")])
def test_a_width_that_is_not_the_default_experiments(study, width, label):
    other = runs(study.analysis, widths=(width,), count=7)
    table = table_of(study, runs(study.analysis, count=7), wide=other)
    assert table.iloc[-1][["kind", "label"]].tolist() == ["width", f"{label}, width {width}"]


def test_other_rates_among_the_default_experiments_are_compared_as_well(study):
    both = [runs(study.analysis, count=7, **s) for s in ({}, {"learning_rate": 0.01})]
    table = effects(pd.concat(both), experiments(grid=both[0], attribution=both[1]), study)
    assert set(table.variant) == {"default", "learning_rate_0.01"}


def test_where_all_is_as_usual_there_is_nothing_to_tell(study):
    """Nor is there of runs that only chose settings."""
    grid = runs(study.analysis, arms=("batch", "batch-matched"))
    tuning = runs(study.analysis, count=5, first=0, learning_rate=0.01)
    for table in (table_of(study, grid), table_of(study, grid, rates=tuning)):
        assert table.empty and list(table) == EFFECTS
    assert effects(grid[:0], experiments(grid=grid)[:0], study).empty
    assert list(horizon([], study)) == HORIZON


def test_horizon_is_the_ratio_of_closing_medians_and_the_slope_left(windowed):
    """none falls as 1/epoch, batch is constant: the ratio grows, slopes are 1/2 and 1."""
    epochs = np.arange(1000)
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame({"arm": arm, "width": 5, "seed": seed, "epoch": epochs,
                      "test_loss": loss * np.exp(rng.normal(0, 0.01))})
        for seed in range(8)
        for arm, loss in (("none", 1 / (epochs + 1)), ("batch", np.full(1000, 0.01)))
    ]  # fmt: skip
    table = horizon([pd.concat(frames)], windowed, points=10)
    last = table[table.epochs == 1000].iloc[0]
    assert last.epochs == 1000 and last.slope_batch == pytest.approx(1)
    assert last.slope_none == pytest.approx(0.5, rel=0.02)
    np.testing.assert_allclose(table.ratio[table.epochs == 500], 5, rtol=0.02)


def test_a_diverged_run_counts_against_its_arm(study):
    """Two of ten with BN: the worst of the cell as a loss, the pair left out of a loss ratio."""
    grid = runs(study.analysis, count=10, spread=0.01)
    rate = {"widths": (100,), "final": 0.5, "count": 10, "spread": 0.01, "learning_rate": 1.0}
    rate = runs(study.analysis, seed=5, **rate)
    failed = (rate.arm == "batch") & rate.seed.isin([2003, 2004])
    rate.loc[failed, "status"] = "diverged"
    rate.loc[failed, ["final_test_loss", "final_train_loss"]] = np.inf
    table = table_of(study, grid, rate=rate).set_index(["variant", "width", "quantity"])
    loss = table.loc["learning_rate_1", 100, "final_test_loss"]
    none = of("none", rate).set_index("seed").final_test_loss
    worst = np.where(none.index.isin([2003, 2004]), ARTICLE_VARIANCE / none, 0.5).astype(float)
    assert (loss.failed_none, loss.failed_arm, loss.n_pairs) == (0, 2, 10)
    assert loss.ratio == pytest.approx(np.exp(np.log(worst).mean()), rel=0.02)
    assert table.loc["learning_rate_1", 100, "test_over_train"].n_pairs == 8
    assert set(table.failed_none) == {0} and table.failed_arm.default.eq(0).all()


def test_a_run_that_diverged_on_the_long_way_counts_from_there(windowed):
    """One of eight without BN turns NaN at epoch 600: the ratio falls, its slope is not counted."""
    epochs = np.arange(1000)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.001, 8))
    losses = {("none", seed): noise[seed] / (epochs + 1) for seed in range(8)}
    losses["none", 0] = np.where(epochs < 600, losses["none", 0], np.nan)
    losses |= {("batch", seed): np.full(1000, 0.01) for seed in range(8)}
    curves = pd.concat([
        pd.DataFrame({"arm": arm, "width": 5, "seed": seed, "epoch": epochs, "test_loss": loss})
        for (arm, seed), loss in losses.items()
    ])  # fmt: skip
    table = horizon([curves], windowed, points=10).set_index("epochs")
    assert list(table.failed_none[[500, 1000]]) == [0, 1] and set(table.failed_batch) == {0}
    assert table.ratio[500] == pytest.approx(5, rel=0.02)
    seven, failed = np.log(0.01 * 1000), np.log(0.01 / ARTICLE_VARIANCE)
    assert table.ratio[1000] == pytest.approx(np.exp((7 * seven + failed) / 8), rel=0.02)
    assert table.slope_none[1000] == pytest.approx(0.5, rel=0.02)


def test_the_horizon_is_read_width_by_width(study, tmp_path):
    """The longest budget that both arms have, all else as the defaults say."""
    analysis = study.analysis
    longer = {
        "horizon": runs(analysis, count=2, epochs=60_000),
        "named_twice": runs(analysis, count=2, epochs=60_000),
        "beyond": runs(analysis, widths=(300,), count=2, epochs=80_000),
        "alone": of("none", runs(analysis, count=2, epochs=90_000)),
        "rates": runs(analysis, count=2, epochs=60_000, learning_rate=0.01),
        "cosine": runs(analysis, count=2, epochs=60_000, schedule="cosine"),
    }
    named = experiments(grid=runs(analysis, count=2), **longer)
    rows = named[["cell", "arm", "width"]].assign(seed=1, epoch=0, test_loss=named.epochs * 1.0)
    write_parquet(tmp_path / "curves.parquet", [pa.Table.from_pandas(rows, preserve_index=False)])
    tables = list(horizon_curves(tmp_path / "curves.parquet", named, study))
    assert [set(table.width) for table in tables] == [{100}, {300}]
    assert [set(table.test_loss) for table in tables] == [{60_000}, {80_000}]
    assert all(set(table.arm) == {"none", "batch"} for table in tables)
