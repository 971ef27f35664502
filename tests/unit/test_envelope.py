"""The best loss within a budget, from curves made to a known answer."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from made_up import experiments, runs

from bnstudy.analysis.envelope import envelope, envelope_curves, least_loss
from bnstudy.config.models import Study
from bnstudy.files import write_parquet


@pytest.fixture(scope="module")
def study(default_config):
    return Study.from_config(default_config)


def curve(rate, losses, seed=0):
    rows = {"arm": "none", "learning_rate": rate, "seed": seed, "epoch": range(len(losses))}
    return pd.DataFrame(rows | {"test_loss": losses})


def test_the_least_loss_never_rises_and_names_the_rate_that_reached_it():
    """The fast rate is ahead and rises at the third epoch, where the slow one overtakes it."""
    found = least_loss(pd.concat([curve(0.1, [4.0, 2.0, 3.0, 3.0]), curve(0.01, [9.0, 3, 1, 1])]))
    assert list(found.epochs) == [1, 2, 3, 4]
    np.testing.assert_allclose(found.test_loss, [4, 2, 1, 1])
    assert list(found.learning_rate) == [0.1, 0.1, 0.01, 0.01]


def test_a_mean_is_geometric_and_a_rate_with_a_diverged_run_is_none():
    seeds = [curve(0.01, [1.0, 1.0]), curve(0.01, [4.0, 9.0], seed=1)]
    wild = [curve(0.1, [0.5, np.nan]), curve(0.1, [0.5, 0.1], seed=1)]
    found = least_loss(pd.concat([*seeds, *wild]))
    assert list(found.learning_rate) == [0.1, 0.1], "it was better before it diverged"
    np.testing.assert_allclose(found.test_loss, [0.5, 0.5])
    np.testing.assert_allclose(least_loss(pd.concat(seeds)).test_loss, [2, 2])


def test_tuning_seeds_make_the_best_and_the_studys_the_articles(study):
    """A rate tried on a study seed, or the article's on another seed, enters neither."""
    curves = [curve(0.1, [3.0]), curve(0.001, [7.0], seed=2000), curve(0.1, [1.0], seed=2000)]
    found = envelope([pd.concat([*curves, curve(0.001, [1.0])])], study).set_index("curve")
    assert found.test_loss.to_dict() == pytest.approx({"best": 3, "article": 7})
    assert found.learning_rate.to_dict() == {"best": 0.1, "article": 0.001}


def test_without_curves_there_is_an_empty_table(study):
    found = envelope([], study)
    assert found.empty and "test_loss" in found


def test_curves_of_constant_rates_at_the_primary_width_are_read(study, tmp_path):
    analysis = study.analysis
    named = experiments(
        grid=runs(analysis, count=2, arms=("batch", "batch-matched")),
        rates=runs(analysis, (300,), 2, learning_rate=0.1),
        cosine=runs(analysis, (300,), 2, schedule="cosine"),
        tuned=runs(analysis, (300,), 2, tuned_for="final_test_loss"),
    )
    rows = named[["cell", "arm", "learning_rate"]].assign(seed=1, epoch=0, test_loss=1.0)
    write_parquet(tmp_path / "curves.parquet", [pa.Table.from_pandas(rows, preserve_index=False)])
    read = pd.concat(envelope_curves(tmp_path / "curves.parquet", named, study))
    assert sorted(zip(read.arm, read.learning_rate, strict=True)) == [
        ("batch", 0.001), ("batch", 0.1), ("none", 0.001), ("none", 0.1),
    ]  # fmt: skip
